# A private PostgreSQL and Redis in a folder, and the processes of Redoubt. Sourced by deploy/quickstart and by tests.
# Needs lib.sh. STATE: the folder that is kept. RUN: a short path for sockets, made by prepare_run.

PIDS=()       # processes of ours, newest last
NAMES=()

# prepare_run: RUN is short enough for socket addresses (107 bytes) and belongs to us alone.
prepare_run() {
    local hash
    hash=$(printf '%s' "$STATE" | cksum | cut -d' ' -f1)
    RUN=${REDOUBT_RUN_DIR:-/tmp/redoubt-$SELF_UID-$hash}
    mkdir -p -m 0711 "$RUN"
    [ -O "$RUN" ] || fail "$RUN belongs to somebody else" 'set REDOUBT_RUN_DIR to a short path of your own'
    chmod 0711 "$RUN"
}

# PostgreSQL refuses to run as root: then its cluster belongs to the account that Debian's package made.
pg_setup() {
    PG_BIN=$(pg_bin)
    [ -n "$PG_BIN" ] || fail 'no PostgreSQL server found' 'apt-get install postgresql'
    PG_DATA=$STATE/postgres
    PG_SOCKETS=$RUN/pg
    PG_AS=()
    if [ "$SELF_UID" -eq 0 ]; then
        PG_AS=(runuser -u postgres --)
        if ! runuser -u postgres -- test -x "$STATE" 2>/dev/null; then
            PG_DATA=/var/lib/redoubt-quickstart/$(printf '%s' "$STATE" | cksum | cut -d' ' -f1)
            mkdir -p -m 0711 /var/lib/redoubt-quickstart
        fi
    fi
    mkdir -p "$PG_DATA" "$PG_SOCKETS"
    chmod 0700 "$PG_DATA"
    chmod 0700 "$PG_SOCKETS"
    [ "$SELF_UID" -ne 0 ] || chown postgres "$PG_DATA" "$PG_SOCKETS"
}

pg_start() {
    pg_setup
    if [ ! -s "$PG_DATA/PG_VERSION" ]; then
        logged initdb "${PG_AS[@]}" "$PG_BIN/initdb" -D "$PG_DATA" -U rd_admin --auth=trust --no-instructions -E UTF8 --locale=C.UTF-8
        {
            printf "listen_addresses = ''\n"
            printf 'max_prepared_transactions = 0\nmax_connections = 100\nshared_buffers = 256MB\nwal_compression = lz4\n'
            printf 'max_wal_size = 2GB\ncheckpoint_timeout = 15min\nautovacuum_naptime = 10s\nlogging_collector = off\n'
        } | "${PG_AS[@]}" tee -a "$PG_DATA/postgresql.conf" >/dev/null
    fi
    # A server left by a killed run: its postmaster.pid is stale or it is still ours to stop.
    "${PG_AS[@]}" "$PG_BIN/pg_ctl" -D "$PG_DATA" status >/dev/null 2>&1 &&
        "${PG_AS[@]}" "$PG_BIN/pg_ctl" -D "$PG_DATA" -m fast -w stop >>"$LOG" 2>&1
    PG_RUNS=1
    # Without the lock of this state folder: who kills us must be able to start again.
    logged 'PostgreSQL' "${PG_AS[@]}" "$PG_BIN/pg_ctl" -D "$PG_DATA" -w -t 60 -l "$PG_DATA/server.log" \
        -o "-c unix_socket_directories='$PG_SOCKETS'" start 9>&-
    # It is no child of ours: this one ends with it.
    ln -sf "$PG_DATA/server.log" "$STATE/logs/database.log"
    spawn database tail -s 0.5 -f /dev/null --pid="$(head -n 1 "$PG_DATA/postmaster.pid")"
    DATABASE="host=$PG_SOCKETS dbname=redoubt"
    if ! psql -h "$PG_SOCKETS" -U rd_admin -d postgres -Atqc "SELECT 1 FROM pg_database WHERE datname='redoubt'" | grep -qx 1; then
        logged 'create database' psql -h "$PG_SOCKETS" -U rd_admin -d postgres -qc 'CREATE DATABASE redoubt'
    fi
}

pg_stop() {
    [ "${PG_RUNS:-0}" = 1 ] || return 0
    "${PG_AS[@]}" "$PG_BIN/pg_ctl" -D "$PG_DATA" -m fast -w stop >>"$LOG" 2>&1 || true
    PG_RUNS=0
}

# born PID: when the process began, in ticks since boot; with the pid it names one process for ever.
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# rotate_logs: those of the run before are kept, older ones are not.
rotate_logs() {
    rm -rf "$STATE/logs.before"
    [ ! -d "$STATE/logs" ] || mv "$STATE/logs" "$STATE/logs.before"
    mkdir -p "$STATE/logs"
}

# spawn NAME COMMAND…: in the background, in a process group of its own, with its output in STATE/logs/NAME.log.
spawn() {
    local name=$1
    shift
    setsid "$@" >>"$STATE/logs/$name.log" 2>&1 </dev/null 9>&- &
    PIDS+=($!)
    NAMES+=("$name")
    printf '%s %s\n' "$!" "$(born $!)" >>"$STATE/pids"
}

# await NAME SECONDS COMMAND…: until the command succeeds, or the process NAME has died, or the time is up.
await() {
    local name=$1 tries=$(($2 * 20)) i
    shift 2
    while [ "$tries" -gt 0 ]; do
        "$@" >/dev/null 2>&1 && return 0
        for i in "${!NAMES[@]}"; do
            [ "${NAMES[$i]}" = "$name" ] && ! kill -0 "${PIDS[$i]}" 2>/dev/null && { tail -n 20 "$STATE/logs/$name.log" >>"$LOG"; fail "$name ended while it started" "see $STATE/logs/$name.log"; }
        done
        sleep 0.05
        tries=$((tries - 1))
    done
    tail -n 20 "$STATE/logs/$name.log" >>"$LOG" 2>/dev/null
    fail "$name is not ready" "see $STATE/logs/$name.log"
}

redis_start() {
    mkdir -p -m 0700 "$STATE/redis"
    rm -f "$RUN/redis.sock"
    spawn redis redis-server --port 0 --unixsocket "$RUN/redis.sock" --unixsocketperm 700 --dir "$STATE/redis" --save '' \
        --appendonly yes --appendfsync everysec --maxmemory 256mb --maxmemory-policy noeviction --daemonize no
    await redis 20 redis-cli -s "$RUN/redis.sock" ping
    REDIS=unix:$RUN/redis.sock
}

# stop_stale: what a killed quick start left behind, by the pids that it noted. PostgreSQL is pg_start's to stop.
stop_stale() {
    local pid tick
    while read -r pid tick; do
        [ -n "$tick" ] && [ "$(born "$pid")" = "$tick" ] || continue
        kill -TERM "$pid" 2>/dev/null
        timeout 5 tail -s 0.1 --pid="$pid" -f /dev/null 2>/dev/null || kill -KILL -- "-$pid" 2>/dev/null
    done < <(tac "$STATE/pids" 2>/dev/null)
    rm -f "$STATE/pids"
    stop_leftovers
}

# end PID…: politely, all at once, and firmly after five seconds.
end() {
    local guard pid
    kill -TERM "$@" 2>/dev/null
    # shellcheck disable=SC2016
    setsid bash -c 'sleep 5; for pid; do kill -KILL -- "-$pid"; done' _ "$@" >/dev/null 2>&1 </dev/null 9>&- &
    guard=$!
    for pid in "$@"; do wait "$pid" 2>/dev/null; done
    # Signals that we ignore by now, it ignores too.
    kill -KILL -- "-$guard" 2>/dev/null || kill -KILL "$guard" 2>/dev/null
    wait "$guard" 2>/dev/null
}

# stop_all: the agents together, then what they talk to, newest first.
stop_all() {
    local i agents=() others=()
    for ((i = ${#PIDS[@]} - 1; i >= 0; i--)); do
        case "${NAMES[$i]}" in agent-*) agents+=("${PIDS[$i]}") ;; *) others+=("${PIDS[$i]}") ;; esac
    done
    [ "${#agents[@]}" -eq 0 ] || end "${agents[@]}"
    for i in "${others[@]}"; do end "$i"; done
    PIDS=()
    NAMES=()
    rm -f "$STATE/pids"
    stop_leftovers
    pg_stop
    [ -n "${RUN:-}" ] && { rm -f "$RUN/redis.sock"; rmdir "$RUN/pg" "$RUN" 2>/dev/null; }
}

# Simulated TEEs outlive an agent that was killed, by design; nothing of this state folder outlives the quick start.
stop_leftovers() {
    local pid
    for pid in $(pgrep -f 'sim-tee --run-dir' 2>/dev/null); do
        [[ "$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")" == *" --platform-dir $STATE/"* ]] || continue
        kill -KILL -- "-$(ps -o pgid= -p "$pid" | tr -d ' ')" 2>/dev/null
    done
}
