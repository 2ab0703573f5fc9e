package pgserver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// watchScript waits until its standard input ends, which happens when the process
// that holds the other end of the pipe does, however it ends. Then it stops the
// server and removes the folders given. The server's pid file goes with it; its
// process number may stay, where nobody collects orphans.
const watchScript = `
read -r _
pid=$1 pidfile=$2 sig=$3; shift 3
kill -$sig "$pid" 2>/dev/null
i=0
while [ -e "$pidfile" ] && kill -0 "$pid" 2>/dev/null && [ $i -lt 200 ]; do sleep 0.05; i=$((i+1)); done
[ -e "$pidfile" ] && kill -KILL "$pid" 2>/dev/null
[ $# -gt 0 ] && rm -rf -- "$@"
exit 0
`

// watchdog is a shell that ends a server with its parent where the kernel does
// not, and clears up after servers that are not meant to stay.
type watchdog struct {
	cmd  *exec.Cmd
	hold *os.File // closed with this process
}

// posted keeps every watchdog reachable: a pipe nobody refers to is closed by the
// garbage collector, which would end a server that is in use.
var posted sync.Map

// watch starts a watchdog over the process pid, the server of cluster. It removes
// the folders in doomed.
func watch(pid int, cluster string, doomed []string) (*watchdog, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	signal := "INT"
	if len(doomed) > 0 {
		signal = "QUIT" // nothing is kept, so nothing needs a shutdown checkpoint
	}
	args := append([]string{"-c", watchScript, "sh", strconv.Itoa(pid), filepath.Join(cluster, pidFileName), signal}, doomed...)
	cmd := exec.Command("sh", args...) //nolint:noctx // it outlives every context by design
	cmd.Dir = "/"
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("no shell to watch over the PostgreSQL server: %w", err)
	}
	dog := &watchdog{cmd: cmd, hold: w}
	posted.Store(dog, nil)
	return dog, nil
}

// dismiss ends the watchdog without any effect on the server.
func (w *watchdog) dismiss() {
	if w == nil {
		return
	}
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
	_ = w.hold.Close()
	posted.Delete(w)
}
