"""The database of the llm tool, with one conversation: its layouts before and since version 0.32."""

LLM_OLD = """
create table conversations (id text primary key, name text, model text);
create table responses (id text primary key, model text, prompt text, system text, response text, conversation_id text,
    duration_ms integer, datetime_utc text, input_tokens integer, output_tokens integer);
create table tool_calls (id integer primary key, response_id text, tool_id integer, name text,
    arguments text, tool_call_id text);
create table tool_results (id integer primary key, response_id text, tool_id integer, name text, output text,
    tool_call_id text);
create table prompt_attachments (response_id text, attachment_id text, "order" integer);
create table fragments (id integer primary key, content text);
create table prompt_fragments (response_id text, fragment_id integer, "order" integer);
insert into fragments values (1, 'A fragment.');
insert into prompt_fragments values ('r1', 1, 0);
insert into prompt_attachments values ('r1', 'x', 0);
insert into conversations values ('conv', 'upper please', 'mock');
insert into responses
    values ('r1', 'mock', 'upper please', 'Be brief.', 'let me see', 'conv', 12, '2026-01-02T03:04:05+00:00', 7, 2);
insert into responses values ('r2', 'mock', '', null, 'DÉJÀ', 'conv', 9, '2026-01-02T03:04:06+00:00', null, null);
insert into tool_calls values (1, 'r1', 1, 'upper', '{"text": "d\\u00e9j\\u00e0"}', 'tc_1');
insert into tool_results values (1, 'r2', 1, 'upper', 'DÉJÀ', 'tc_1');
"""

LLM_NEW = """
create table threads (id text primary key, name text, tip_message_hash text, forked_from text, datetime_utc text);
create table turns (id text primary key, thread_id text, parent_message_hash text, tip_message_hash text, model text,
    input_tokens integer, output_tokens integer, duration_ms integer, datetime_utc text);
create table messages (hash text primary key, parent_hash text, role text);
create table parts (id integer primary key, message_hash text, position integer, type text, tool_name text,
    text text, payload text);
create table fragments (id integer primary key, content text);
insert into fragments values (1, 'A fragment.');
insert into threads values ('conv', 'upper please', 'm5', null, '2026-01-02T03:04:05+00:00');
insert into turns values ('t1', 'conv', 'm2', 'm3', 'mock', 7, 2, 12, '2026-01-02T03:04:05+00:00');
insert into turns values ('t2', 'conv', 'm4', 'm5', 'mock', null, null, 9, '2026-01-02T03:04:06+00:00');
insert into messages
    values
    ('m1', null, 'system'), ('m2', 'm1', 'user'), ('m3', 'm2', 'assistant'), ('m4', 'm3', 'tool'),
    ('m5', 'm4', 'assistant');
insert into parts values (1, 'm1', 0, 'text', null, 'Be brief.', null);
insert into parts
    values (2, 'm2', 0, 'text', null, null, '{"text_ref": [{"fragment": 1}, {"literal": "\\nupper please"}]}');
insert into parts values (3, 'm2', 1, 'attachment', null, null, '{"attachment": {"id": "x"}}');
insert into parts values (4, 'm3', 0, 'text', null, 'let me see', null);
insert into parts
    values
    (5, 'm3', 1, 'tool_call', 'upper', null,
    '{"name": "upper", "arguments": {"text": "d\\u00e9j\\u00e0"}, "tool_call_id": "tc_1"}');
insert into parts
    values (6, 'm4', 0, 'tool_result', 'upper', null, '{"name": "upper", "output": "DÉJÀ", "tool_call_id": "tc_1"}');
insert into parts values (7, 'm5', 0, 'text', null, 'DÉJÀ', null);
"""
