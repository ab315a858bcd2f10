#!/bin/bash
# The kernel's client downloads and uploads over a path with loss and reordering: the same octets.
set -u
. "$(dirname "$0")/path.bash"
path_lab
path_file data 2
wanted=$(sha256sum <"$lab_dir/files/data")
# The routes are there before the path gets bad.
path_start --seed 1
test_millrace
path_stop

path_start --seed 2 --loss 2 --burst 0.1,3 --reorder 3,4 --delay 5
url=$(path_url millrace)
curl_it() { lab_in client curl -sS --fail --max-time 60 -H "Host: $path_host" "$@" || fail "$*"; }
down=$(curl_it "$url/files/data" | sha256sum)
curl_it -H 'Expect:' -T "$lab_dir/files/data" -o /dev/null "$url/upload/data"
up=$(sha256sum <"$lab_dir/upload/data")
path_stop

equal=no
[ "$down" = "$wanted" ] && [ "$up" = "$wanted" ] && equal=yes
lost=0
for direction in a_to_b b_to_a; do
  for what in lost lost_in_bursts; do
    lost=$((lost + $(path_figure $direction $what)))
  done
done
held_back=$(path_figure b_to_a held_back)
printf 'equal_octets=%s frames_lost=%s held_back=%s\n' $equal "$lost" "$held_back"
[ $equal = yes ] || fail 'the octets that arrived are not those that were sent'
[ "$lost" -gt 20 ] && [ "$held_back" -gt 20 ] || fail 'the path was not bad'
