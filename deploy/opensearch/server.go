package opensearch

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/javaserver"
	"github.com/quokka-stream/quokka/internal/freeport"
	"github.com/quokka-stream/quokka/internal/unprivileged"
)

//go:embed pom.xml
var pom []byte

//go:embed log4j2.properties
var log4j []byte

// Version is the version of OpenSearch that Open uses.
func Version() string { return javaserver.Property(pom, "opensearch.version") }

// Config describes a server. Dir is required.
type Config struct {
	// Dir keeps everything, also between runs; it must not move.
	Dir string
	// Port is where it listens; 0: where it did the last time, else a free one.
	Port int
	// JVM are options of its Java; default: 512 MB of heap.
	JVM []string
}

// Server is a server on this machine, which may run or not.
type Server struct {
	cfg      Config
	javaPath string
	home     home
}

// ErrNotRunning says that no server runs.
var ErrNotRunning = errors.New("no OpenSearch runs here: make opensearch-up starts it")

// javaVersions: OpenSearch 2 needs the security manager, which Java 24 dropped.
var javaVersions = javaserver.Versions{Oldest: 17, Newest: 23}

// Open finds Java and OpenSearch and prepares the server's files. A
// *javaserver.NotRunError says what this machine lacks.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	if len(cfg.JVM) == 0 {
		cfg.JVM = []string{"-Xms512m", "-Xmx512m"}
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the server's account must get through; what is private is below
		return nil, err
	}
	s := &Server{cfg: cfg}
	if s.javaPath, err = javaserver.Java(ctx, "OpenSearch", javaVersions); err != nil {
		return nil, err
	}
	archive, err := javaserver.Resolve(ctx, "OpenSearch", dir, pom)
	if err != nil {
		return nil, err
	}
	if s.home, err = openHome(ctx, dir, s.javaPath); err != nil {
		return nil, err
	}
	return s, s.home.unpack(archive)
}

// Find describes a server that runs, without what it takes to start one.
func Find(cfg Config) (*Server, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	s := &Server{cfg: cfg, home: savedHome(dir)}
	if s.home.path == "" || s.process().PID() == 0 {
		return nil, ErrNotRunning
	}
	s.cfg.Port, err = s.savedPort()
	return s, err
}

func (s *Server) process() javaserver.Process {
	return javaserver.Process{Name: "OpenSearch", Dir: s.cfg.Dir, Mark: s.home.config()}
}

// URL is the server's address.
func (s *Server) URL() string { return "http://" + address(s.cfg.Port) }

// Files is the folder of the server's files.
func (s *Server) Files() string { return s.home.path }

// Account is whom the server runs as; empty: the current user.
func (s *Server) Account() string { return s.home.account.Name }

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Up starts the server, if it does not run, and returns when it serves.
func (s *Server) Up(ctx context.Context) error {
	saved, err := s.savedPort()
	if s.process().PID() != 0 {
		switch {
		case err != nil:
			return err
		case s.cfg.Port != 0 && s.cfg.Port != saved:
			return fmt.Errorf("OpenSearch runs on port %d: end it first (make opensearch-down), or leave OPENSEARCH_PORT out", saved)
		}
		s.cfg.Port = saved
		return s.await(ctx)
	}
	if s.cfg.Port == 0 && err == nil && javaserver.Free(address(saved), "") == nil {
		s.cfg.Port = saved
	}
	if s.cfg.Port == 0 {
		if s.cfg.Port, err = freeport.Find(); err != nil {
			return err
		}
	}
	if err := javaserver.Free(address(s.cfg.Port), "OPENSEARCH_PORT"); err != nil {
		return err
	}
	transport, err := freeport.Find()
	if err != nil {
		return err
	}
	if err := s.home.configure(s.cfg.Port, transport); err != nil {
		return err
	}
	if err := s.process().Start(s.command()); err != nil {
		return err
	}
	if err := os.WriteFile(s.portFile(), []byte(strconv.Itoa(s.cfg.Port)), 0o600); err != nil {
		return err
	}
	return s.await(ctx)
}

// command is what the distribution's own script runs.
func (s *Server) command() *exec.Cmd {
	args := append([]string{}, s.cfg.JVM...)
	args = append(args,
		"-Djava.security.manager=allow", "-Djava.awt.headless=true", "-Dfile.encoding=UTF-8",
		"-Djava.io.tmpdir="+s.home.temporary(), "-Djna.nosys=true", "-Dlog4j.shutdownHookEnabled=false",
		"-Djava.util.concurrent.ForkJoinPool.common.threadFactory=org.opensearch.secure_sm.SecuredForkJoinWorkerThreadFactory",
		"-Dopensearch.path.home="+s.home.distribution(), "-Dopensearch.path.conf="+s.home.config(), "-Dopensearch.distribution.type=zip",
		"-cp", filepath.Join(s.home.distribution(), "lib", "*"), "org.opensearch.bootstrap.OpenSearch")
	return s.home.account.Command(context.Background(), s.home.path, s.javaPath, args...)
}

func (s *Server) portFile() string { return filepath.Join(s.cfg.Dir, "port") }

func (s *Server) savedPort() (int, error) {
	text, err := os.ReadFile(s.portFile())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// patience is how long a start may take. It takes seconds, and minutes on a
// machine that is busy with ten times its cores.
const patience = 5 * time.Minute

// await waits until the server answers.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ask(ctx, s.URL())
		if err == nil {
			return nil
		}
		if s.process().PID() == 0 {
			return fmt.Errorf("OpenSearch has ended: %s", s.process().Trouble())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("OpenSearch does not serve after %s: %w: %s", patience, errors.Join(ctx.Err(), err), s.process().Trouble())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// ask checks that a cluster answers that can be written to.
func ask(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_cluster/health", nil)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var health struct{ Status string }
	if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || health.Status == "red" {
		return fmt.Errorf("%s, %s", resp.Status, health.Status)
	}
	return nil
}

// Down ends the server, with its consent if it gives it within 30 seconds.
func (s *Server) Down(ctx context.Context) error { return s.process().Stop(ctx) }

// Kill ends the server with SIGKILL; Up starts it again.
func (s *Server) Kill(ctx context.Context) error { return s.process().Kill(ctx) }

// accounts lists those that root drops to, best first.
var accounts = []string{"opensearch", "nobody"}

func pickAccount() (unprivileged.Account, error) {
	a, ok := unprivileged.Pick(accounts)
	if !ok {
		return a, fmt.Errorf("OpenSearch does not run as root, and this machine has none of the accounts %v: add one (useradd --system opensearch), or run as an ordinary user", accounts)
	}
	return a, nil
}
