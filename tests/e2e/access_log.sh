#!/bin/bash
# The access log: a line for every request, whole and true, through a rotation and a stop.
. "$(dirname "$0")/lab_test.bash"
command -v python3 >/dev/null || skip 'needs python3 (deploy/packages.sh)'
lab_timeouts='drain_seconds: 2, connect_seconds: 1'
test_lab
log=$lab_dir/log/access.log
{
  lab_service gone gone 10.20.0.11 9
  lab_ingress gone gone gone.example / gone
} >"$manifests/gone.yaml"
with_log() { # FORMAT
  lab_dataplane_config >"$lab_dir/dataplane.yaml"
  printf 'access_log: {file: %s, format: %s}\n' "$log" "$1" >>"$lab_dir/dataplane.yaml"
}
with_log json
head -c 8000000 /dev/zero >"$lab_dir/files/large"
chmod 755 "$lab_dir/files"
chmod 644 "$lab_dir/files/large"
test_millrace
lab_until 10 lab_gets home.example /wiki/x wiki-1 || fail 'it does not serve'
get() { lab_in client curl -s -o /dev/null --max-time 5 "$@"; }

# One of each kind. Then many, with a rotation in the middle.
get -A 'agent "one"' -e 'http://before.example/' -H 'Host: home.example' "http://$lab_vip/wiki/first?a=b"
get -d 'twelve octet' -H 'Host: shop.example' "http://$lab_vip/checkout"
get -H 'Host: nowhere.example' "http://$lab_vip/"
get -H 'Host: gone.example' "http://$lab_vip/refused"
get -H 'Host: home.example' --path-as-is "http://$lab_vip/a%2fb"
lab_in client sh -c "printf 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n' | nc -w 1 $lab_vip 80" >/dev/null
load_start --connections 20 --rate 1000 --timeout 10 --row 'home.example /wiki wiki-1'
sleep 1
mv "$log" "$log.1"
sleep 2.5
load_stop
sleep 0.3
"$lab_build/cli/millrace" --run "$lab_dir" traffic -o json >"$lab_dir/traffic.json" || fail 'no traffic is told'
[ -s "$log" ] || fail 'no new file was made after the rotation'
python3 - "$log.1" "$log" "$(load_figure requests)" "$lab_dir/traffic.json" <<'PYTHON' || fail 'the log is not right'
import datetime
import json
import sys
import time
lines = []
for path in sys.argv[1:3]:
    with open(path, encoding="ascii") as file:
        lines += [json.loads(line) for line in file]


def one(**wanted):
    found = [line for line in lines if all(line.get(key) == value for key, value in wanted.items())]
    if len(found) != 1:
        sys.exit(f"{len(found)} lines with {wanted}")
    return found[0]


first = one(target="/wiki/first?a=b")
assert first["user_agent"] == 'agent "one"' and first["referer"] == "http://before.example/", first
assert first["status"] == 200 and first["end"] == "complete" and first["client"] == "10.20.0.50", first
assert first["host"] == "home.example" and first["service"].count("/") == 1 and ":" in first["service"], first
assert "/" in first["route"] and first["endpoint"].startswith("10.") and first["attempts"] == 1, first
assert 0 < first["total_us"] < 5_000_000 and first["response_body_bytes"] > 0, first
assert first["head_us"] + first["connect_us"] + first["response_us"] + first["body_us"] <= first["total_us"] + 4
posted = one(method="POST")
assert posted["request_body_bytes"] == 12 and posted["target"] == "/checkout", posted
assert one(host="nowhere.example")["reason"] == "no_route"
refused = one(host="gone.example")
assert refused["status"] == 502 and refused["reason"] == "endpoint_failed" and refused["attempts"] > 1, refused
assert refused["endpoint"] == "10.20.0.11:9" and refused["service"].startswith("gone/gone:"), refused
assert one(reason="path_refused")["status"] == 400
broken = one(reason="head_invalid")
assert broken["status"] == 400 and "Host" in broken["head_error"] and "target" not in broken, broken
asked = [line for line in lines if line.get("target") == "/wiki"]
if len(asked) != int(sys.argv[3]):
    sys.exit(f"{len(asked)} lines of {sys.argv[3]} requests")
assert all(line["status"] == 200 and line["end"] == "complete" for line in asked)
assert sum(line["reused"] for line in asked) > 0.9 * len(asked)
# What is counted by route and by service is what the lines say.
with open(sys.argv[4], encoding="ascii") as file:
    traffic = json.load(file)
for kind in ("route", "service"):
    counted = {}
    for row in traffic[kind + "s"]:
        name = row["name"].split(" ")[0] if row["name"][0] != "(" else ""
        sums = counted.setdefault(name, [0, 0, 0, 0])
        for place, key in enumerate(("requests", "2xx", "retries", "response_body_bytes")):
            sums[place] += row[key]
    written = {}
    for line in lines:
        # A request before there is a table finds the route of none, whose service has neither name nor endpoint.
        if kind == "route" or kind in line or line.get("reason") == "no_endpoint":
            sums = written.setdefault(line.get(kind, ""), [0, 0, 0, 0])
            sums[0] += 1
            sums[1] += line["status"] // 100 == 2
            sums[2] += max(0, line.get("attempts", 0) - 1)
            sums[3] += line.get("response_body_bytes", 0)
    if counted != written:
        sys.exit(f"traffic by {kind}: {counted}, in the log: {written}")
    slowest = max(line["total_us"] for line in lines)
    for row in traffic[kind + "s"]:
        assert row["p50_us"] is None or 0 < row["p50_us"] <= 1.25 * slowest + 64, row
for line in lines:
    at = datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()
    assert time.time() - 60 < at < time.time(), line
PYTHON
lost=$(lab_count proxy_access_records_lost)
[ "$lost" = 0 ] || fail "records were lost: $lost"

# The last requests before a stop are in the log as well, one that is cut off by it too; and the other
# format, without rights.
stop() {
  lab_signal dataplane TERM
  lab_wait_gone "$lab_dir/dataplane.pid" 5 || fail 'the data plane does not end'
  rm -f "$lab_dir/dataplane.pid"
}
lab_in client curl -s -o /dev/null --max-time 8 --limit-rate 20k -H 'Host: home.example' \
  "http://$lab_vip/files/large" >/dev/null 2>&1 &
half=$!
sleep 0.5
get -H 'Host: home.example' "http://$lab_vip/wiki/last"
stop
kill $half 2>/dev/null
grep -q '"target":"/wiki/last"' "$log" || fail 'the last request is not in the log'
grep -q '"target":"/files/large".*"status":200,"end":"aborted"' "$log" || fail 'the request that the stop cut off is not in the log'
rm -r "$lab_dir/log"
with_log combined
echo 'user: 65534' >>"$lab_dir/dataplane.yaml"
chown -R 65534 "$lab_dir/state"
chmod 755 "$lab_dir"
lab_start_dataplane
lab_until 10 lab_gets home.example /wiki/x wiki-1 || fail 'it does not serve again'
[ "$(stat -c %u "$log")" = 65534 ] || fail 'the file does not belong to the user'
mv "$log" "$log.1"
sleep 1.3
get -A 'agent "two"' -H 'Host: home.example' "http://$lab_vip/wiki/combined"
stop
grep -Eq '^10\.20\.0\.50 - - \[[^]]+ \+0000\] "GET /wiki/combined HTTP/1\.1" 200 [0-9]+ "-" "agent \\"two\\""$' "$log" ||
  fail "the combined format: $(tail -n 1 "$log")"
printf 'requests=%s failed=%s lost=%s\n' "$(load_figure requests)" "$(load_figure failed)" "$lost"
