"""What Redis URLs mean, and which are refused before anything connects."""

import traceback

import pytest
from swarmchat.backends import UnknownBackend, open_backend
from swarmchat.backends.redis.url import parse_redis_url


@pytest.mark.parametrize(
    ("url", "hosts", "db"),
    [
        ("redis://", (("localhost", 6379),), 0),
        ("redis://h", (("h", 6379),), 0),
        ("redis://h:1/", (("h", 1),), 0),
        ("redis://h/12", (("h", 6379),), 12),
        ("redis://h?db=3", (("h", 6379),), 3),
        ("REDIS://h:65535/1", (("h", 65535),), 1),
        ("redis://[::1]:7/1", (("::1", 7),), 1),
        ("rediss://h:2/1", (("h", 2),), 1),
        ("redis+cluster://a:1,b,c:3", (("a", 1), ("b", 6379), ("c", 3)), 0),
        ("redis+sentinel://a,b:2/svc", (("a", 26379), ("b", 2)), 0),
        ("redis+sentinel://a/my%20svc/4", (("a", 26379),), 4),
        ("unix:///run/redis.sock?db=2", (), 2),
    ],
)
def test_forms(url: str, hosts: tuple[tuple[str, int], ...], db: int) -> None:
    target = parse_redis_url(url)
    assert (target.hosts, target.db) == (hosts, db)
    assert open_backend(url)


def test_parts() -> None:
    target = parse_redis_url("redis+sentinel://me:p%40ss@a/my%20svc?deadline=9&timeout=0.5&sentinel_password=x&ssl=yes")
    assert (target.username, target.password, target.service) == ("me", "p@ss", "my svc")
    assert (target.deadline, target.timeout, target.sentinel_password) == (9, 0.5, "x")
    assert target.tls == {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
    assert parse_redis_url("unix://me:p@/a%20b.sock").path == "/a b.sock"
    assert parse_redis_url("redis://h?username=me&password=p").password == "p"
    assert parse_redis_url("rediss://h?ssl_cert_reqs=none").tls["ssl_check_hostname"] is False
    assert parse_redis_url("redis://h").tls == {}


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("redis://:s3cret@h", "redis://:***@h"),
        ("redis://me:s3c%40ret@h/1?timeout=3", "redis://me:***@h/1?timeout=3"),
        ("redis://h?username=me&password=s3cret", "redis://h?username=me&password=***"),
        (
            "redis+sentinel://:s3cret@a,b/svc?sentinel_password=s3cret",
            "redis+sentinel://:***@a,b/svc?sentinel_password=***",
        ),
        ("unix://:s3cret@/run/r.sock", "unix://:***@/run/r.sock"),
    ],
)
def test_the_url_to_show(url: str, masked: str) -> None:
    assert open_backend(url).url == masked


@pytest.mark.parametrize(
    "url",
    [
        "redis://h/notanint",
        "redis://h/-1",
        "redis://h/1/2",
        "redis://h/ 1",
        "redis://h?db=x",
        "redis://h:port/0",
        "redis://h:0/0",
        "redis://h:70000/0",
        "redis://h:-1/0",
        "redis://a,b/0",
        "redis://h h/0",
        "redis://a..b/0",
        f"redis://{'x' * 70}/0",
        "redis://[::1/0",
        "redis://[nonsense]/0",
        "redis://h/0?unknown=1",
        "redis://h/0?timeout=1&timeout=2",
        "redis://h/0?timeout=never",
        "redis://h/0?timeout=0",
        "redis://h/0?deadline=-1",
        "redis://h/0?deadline=1e9",
        "redis://h/0#1",
        "redis://h\n/0",
        "redis://h/0?ssl_ca_certs=x",
        "redis://h/0?ssl=maybe",
        "rediss://h/0?ssl=false",
        "rediss://h/0?ssl_cert_reqs=some",
        "redis://me@h/0",
        "unix://",
        "unix://run/redis.sock",
        "unix:///run/redis.sock?db=x",
        "unix:///run/redis.sock?ssl=true",
        "redis+cluster://h/1",
        "redis+sentinel://h",
        "redis+sentinel://h/",
        "redis+sentinel://h/svc/x",
        "redis+sentinel://h/svc/1/2",
    ],
)
def test_invalid_urls(url: str) -> None:
    with pytest.raises(UnknownBackend):
        open_backend(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@h:port/0",
        "redis://:s3cret@h/notanint",
        "redis://me:s3cret@h/0?unknown=1",
        "redis://me:s3cret",
        "redis://:s3cret/0",
        "redis://me:s3#cret@h/0",
        "redis://me:[s3cret@h/0",
        "redis://me:s3cret@[h/0",
        "redis://h/0?password=s3cret&unknown=1",
        "redis://h@h/0?password=s3cret&unknown=1",
        "redis://h/0?password=s3cret&password=s3cret",
        "redi://me:s3cret@h/0",
        "//me:s3cret@h/0",
        "redis://h/s3cret",
        "redis://h/0/s3cret",
        "redis://h?db=s3cret",
        "redis:s3cret",
        "redis:/s3cret",
        "redis+cluster://h/s3cret",
        "redis+sentinel://h/svc/s3cret",
        "redis://:pw/s3cret@h:1/0",
        "redis://:pw?s3cret@h:1/0",
        "redis://:1/s3cret@h:1/0",
        "redis://h/0?s3cret",
        "redis://h/0?s3cret=1",
        "redis://h/0?password=a&s3cret",
    ],
)
def test_a_refusal_does_not_show_the_password(url: str) -> None:
    with pytest.raises(UnknownBackend) as caught:
        open_backend(url)
    assert "s3" not in "".join(traceback.format_exception(caught.value))
