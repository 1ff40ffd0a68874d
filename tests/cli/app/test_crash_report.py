"""An error that nobody foresaw, brought about by a swarm of the user's that breaks the program from within."""

import re
import stat
from pathlib import Path

BREAKS = """
from swarmchat.cli.render.renderer import Renderer
from swarmchat.swarm import Agent, Swarm

del Renderer.end_turn
swarm = Swarm("broken", [Agent("one")])
"""


def test_a_defect_is_one_line_and_a_file(program, tmp_path):
    (program.folder / "broken.py").write_text(BREAKS)
    done = program.run("run", "hello", "-S", "broken.py", "-s", "kept", env={"TMPDIR": str(tmp_path)}, fresh=True)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "AttributeError" in done.err
    report = Path(re.search(r"is in (\S+\.txt)", done.err)[1])
    assert report.parent == tmp_path
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert "Traceback" in report.read_text()
    assert "hello" in program.invoke("sessions", "show", "kept").out
