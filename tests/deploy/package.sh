#!/bin/sh
# What a Debian machine does with the package, from the first installation to the purge. Run by throwaway.sh.
# /run/shared has outpost.deb; zoo.cfg.end and environment, what an administrator would write.
set -eu
cd /

says() { # what is wrong if the command that follows fails
    what=$1
    shift
    "$@" || { echo "FAILED: $what: $*"; exit 1; }
}
refuses() {
    what=$1
    shift
    ! "$@" || { echo "FAILED: $what: $*"; exit 1; }
}
# What the package's scripts ask of systemd, which does not run here.
asked_of_systemd() {
    cat /tmp/systemctl.log 2>/dev/null || true
    : >/tmp/systemctl.log
}

# Containers forbid packages to start services; this is to be a machine.
rm -f /usr/sbin/policy-rc.d
cp -p /usr/bin/systemctl /tmp/systemctl.real
cp /etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/subuid /etc/subgid /tmp/
cat >/tmp/systemctl <<'END'
#!/bin/sh
for word; do
    case $word in
    is-active) exit 3 ;;
    is-enabled) exec /tmp/systemctl.real --root=/ is-enabled outpost.service ;;
    reload) echo reload >>/tmp/systemctl.log && exec kill -HUP "$(cat /tmp/outpost.pid)" ;;
    start | stop | restart | daemon-reload) echo "$word" >>/tmp/systemctl.log && exit ;;
    esac
done
exec /tmp/systemctl.real "$@"
END
chmod 755 /tmp/systemctl
mount --bind /tmp/systemctl /usr/bin/systemctl
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

echo "== installed, not configured"
mkdir -p /run/systemd/system
dpkg -i /run/shared/outpost.deb >/tmp/said 2>&1 || { cat /tmp/said; exit 1; }
says "the administrator is told what to do" grep -q "name the voters in /etc/outpost/zoo.cfg" /tmp/said
says "nothing is started without voters" test -z "$(asked_of_systemd)"
says "the files are as they were packed" dpkg --verify outpost
says "there is a user" getent passwd outpost
says "the service starts with the machine" systemctl --quiet is-enabled outpost.service
says "secrets are root's alone" test "$(stat -c %a:%U /etc/outpost/environment)" = 600:root
says "myid can be put there" test "$(stat -c %a:%U /var/lib/outpost)" = 755:outpost
outpost --version
says "there is a manual" test -s /usr/share/man/man1/outpost-run.1.gz
says "bash completes" bash -nc ". /usr/share/bash-completion/completions/outpost"
says "systemd reads the unit" systemd-analyze verify --man=no /usr/lib/systemd/system/outpost.service
outpost check /etc/outpost/zoo.cfg --id 9 >/tmp/said || status=$?
says "the check misses the voters" test "$status" = 2
says "it says so" grep -q "no server.N line names a voter" /tmp/said

echo "== configured"
cat /run/shared/zoo.cfg.end >>/etc/outpost/zoo.cfg
cat /run/shared/environment >>/etc/outpost/environment
set -a
. /etc/outpost/environment
set +a
as_outpost="setpriv --reuid outpost --regid outpost --clear-groups --no-new-privs"
# As the unit does.
install -d -m 750 -o outpost -g outpost /var/log/outpost
says "the check is content" $as_outpost outpost check /etc/outpost/zoo.cfg

echo "== started as the unit does"
start=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/outpost.service)
$as_outpost $start 2>/tmp/outpost.log &
pid=$!
tries=0
until outpost health /etc/outpost/zoo.cfg >/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { cat /tmp/outpost.log; exit 1; }
    kill -0 "$pid" || { cat /tmp/outpost.log; exit 1; }
    sleep 0.1
done
says "it runs as its user" test "$(ps -o user= -p "$pid")" = outpost

echo "== its audit log moved away by logrotate"
echo "$pid" >/tmp/outpost.pid
audit=/var/log/outpost/audit.log
says "its start is told of" grep -q "operation=serverStart" $audit
logrotate --force --state /tmp/logrotate.state /etc/logrotate.d/outpost >/tmp/said 2>&1 || { cat /tmp/said; exit 1; }
says "the service is told" test "$(asked_of_systemd)" = reload
tries=0
until [ -e $audit ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { ls -l /var/log/outpost; exit 1; }
    sleep 0.1
done
kill -TERM "$pid"
says "it drains" wait "$pid"
says "what came before was moved" grep -q "operation=serverStart" $audit.1
says "what came later is in the new file" grep -q "operation=serverStop" $audit

echo "== installed anew over it"
dpkg -i /run/shared/outpost.deb >/tmp/said 2>&1
says "what was written stays" grep -q "^server.1=" /etc/outpost/zoo.cfg
says "the service is started again with the new files" test "$(asked_of_systemd | tr '\n' ' ')" = "daemon-reload restart "

echo "== removed"
dpkg -r outpost >/tmp/said 2>&1
says "the service is stopped first" test "$(asked_of_systemd | head -n 1)" = stop
refuses "the program is gone" test -e /usr/bin/outpost
says "what was written stays" grep -q "^server.1=" /etc/outpost/zoo.cfg

echo "== installed where it was configured before"
dpkg -i /run/shared/outpost.deb >/tmp/said 2>&1
says "the service runs again" test "$(asked_of_systemd | tail -n 1)" = restart

echo "== purged"
dpkg -P outpost >/tmp/said 2>&1 || { cat /tmp/said; exit 1; }
refuses "the user is gone" getent passwd outpost
for table in passwd group shadow gshadow subuid subgid; do
    says "users are as before" cmp "/tmp/$table" "/etc/$table"
done
umount /usr/bin/systemctl
echo "== done"
