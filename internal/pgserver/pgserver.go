package pgserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

const superuser = "postgres"

// ErrInUse says that the data directory belongs to a server that a living process
// runs.
var ErrInUse = errors.New("the data directory's PostgreSQL is run by another process")

// PortError says that the port asked for is taken.
type PortError struct {
	Port int
	Err  error
}

func (e *PortError) Error() string {
	return fmt.Sprintf("port %d for PostgreSQL is taken on 127.0.0.1 (%v): stop what listens there, or choose another port", e.Port, e.Err)
}

func (e *PortError) Unwrap() error { return e.Err }

// Config says what Start starts. The zero value is a temporary server on a free
// port.
type Config struct {
	// DataDir keeps the server's files between runs. Empty: a temporary folder,
	// with Temporary implied.
	DataDir string
	// Temporary: the cluster is removed when the server ends, however it ends.
	Temporary bool
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// Settings are further server settings (-c name=value); they win over ours.
	Settings map[string]string
	// Fetch gets server binaries where none is installed and returns their folder.
	// It is called for unprivileged users only. Nil: the error says what to do.
	Fetch func(ctx context.Context) (dir string, err error)
	// Logger gets what a user should know, such as where the files are. Nil: nobody.
	Logger *slog.Logger

	// detached: no goroutine watches over the server, only the watchdog. For
	// ForTest, whose server lives as long as the test binary, and whose users look
	// for leaked goroutines.
	detached bool
}

// Server is a running PostgreSQL.
type Server struct {
	cfg      Config
	bin      Binaries
	place    place
	port     int
	password string

	lock    *dirLock
	proc    *process
	dog     *watchdog
	done    <-chan struct{}
	tempDir string // the folder that stands in for an empty DataDir
}

// Start starts the server and returns when it accepts connections. ctx limits the
// start only; the server runs until Stop, or until this process ends.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg}
	if err := s.start(ctx); err != nil {
		return nil, fmt.Errorf("private PostgreSQL: %w", errors.Join(err, s.Stop()))
	}
	cfg.Logger.Info("PostgreSQL is ready", "version", s.bin.Version, "binary", s.bin.Postgres(),
		"addr", s.Addr(), "files", s.place.home, "account", s.place.account.Name)
	return s, nil
}

func (s *Server) start(ctx context.Context) (err error) {
	if s.cfg.DataDir == "" {
		if s.tempDir, err = os.MkdirTemp("", "quokka-postgres-"); err != nil {
			return err
		}
		// The server's account must get through; its own folder inside is private.
		if err := os.Chmod(s.tempDir, 0o711); err != nil { //nolint:gosec // see above
			return err
		}
		s.cfg.DataDir, s.cfg.Temporary = s.tempDir, true
	}
	if s.cfg.DataDir, err = filepath.Abs(s.cfg.DataDir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.cfg.DataDir, 0o755); err != nil {
		return err
	}
	if s.lock, err = lockDir(ctx, filepath.Join(s.cfg.DataDir, lockName)); err != nil {
		return err
	}
	if s.place, err = existing(s.cfg.DataDir); err != nil {
		return err
	}
	if s.bin, err = s.binaries(ctx); err != nil {
		return err
	}
	if s.place.major == 0 {
		err = s.create(ctx)
	} else if _, statErr := os.Stat(filepath.Join(s.cfg.DataDir, passwordName)); statErr != nil {
		return fmt.Errorf("the cluster's password file is gone (put it back, or start with an empty data directory): %w", statErr)
	} else {
		s.password, err = password(s.cfg.DataDir)
	}
	if err != nil {
		return err
	}
	if s.place.moved {
		s.cfg.Logger.Warn("PostgreSQL's files are outside the data directory, which its account cannot reach",
			"files", s.place.home, "account", s.place.account.Name, "data_dir", s.cfg.DataDir)
	}
	if err := awaitPredecessor(ctx, s.place.cluster()); err != nil {
		return err
	}
	return s.launch(ctx)
}

// binaries finds the server that fits the cluster, if there is one already.
func (s *Server) binaries(ctx context.Context) (Binaries, error) {
	bin, err := find(ctx, s.place.major)
	var missing *NotFoundError
	if errors.As(err, &missing) && s.cfg.Fetch != nil && os.Geteuid() != 0 {
		dir, err := s.cfg.Fetch(ctx)
		if err != nil {
			return bin, fmt.Errorf("%w\n(fetching one failed: %w)", missing, err)
		}
		return inspect(ctx, dir)
	}
	return bin, err
}

// create makes the cluster.
func (s *Server) create(ctx context.Context) (err error) {
	if s.place, err = choose(ctx, s.cfg.DataDir, s.bin); err != nil {
		return err
	}
	if s.password, err = password(s.cfg.DataDir); err != nil {
		return err
	}
	if err := s.place.initialize(ctx, s.bin, s.password, s.cfg.Temporary); err != nil {
		return err
	}
	if !s.place.moved {
		return nil
	}
	// Only now: a location file names a complete cluster.
	return os.WriteFile(filepath.Join(s.cfg.DataDir, locationName), []byte(s.place.home+"\n"), 0o600)
}

// settings returns the server's settings as arguments.
func (s *Server) settings(port int) []string {
	set := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(port),
		"unix_socket_directories": "",
		"wal_level":               "logical",
		"max_wal_senders":         "32",
		"max_replication_slots":   "32",
		"max_connections":         "200",
		"jit":                     "off", // our queries are short; compiling them is not
		"timezone":                "UTC",
		"log_timezone":            "UTC",
	}
	maps.Copy(set, s.cfg.Settings)
	args := []string{"-D", s.place.cluster()}
	for _, k := range slices.Sorted(maps.Keys(set)) {
		args = append(args, "-c", k+"="+set[k])
	}
	return args
}

// launch starts the server process and waits until it accepts connections. Twice
// the first attempt may fail for no fault of ours: somebody else took the free
// port we found, or backends of a postmaster that was killed are still ending.
func (s *Server) launch(ctx context.Context) error {
	deadline := time.Now().Add(15 * time.Second)
	for {
		port, err := s.pickPort()
		if err != nil {
			return err
		}
		err = s.attempt(ctx, port)
		var exited *exitError
		switch {
		case err == nil:
			s.port, s.done = port, s.proc.done
			return nil
		case ctx.Err() != nil || !errors.As(err, &exited) || time.Now().After(deadline):
			return err
		case exited.portTaken() && s.cfg.Port != 0:
			return &PortError{Port: port, Err: errors.New("address already in use")}
		case !exited.portTaken() && !exited.backendsRemain():
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// pickPort returns the port asked for if nothing listens there, or a free one.
func (s *Server) pickPort() (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.cfg.Port))) //nolint:noctx // resolves nothing, returns at once
	if err != nil && s.cfg.Port != 0 {
		return 0, &PortError{Port: s.cfg.Port, Err: err}
	}
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *Server) attempt(ctx context.Context, port int) (err error) {
	log, err := os.OpenFile(filepath.Join(s.cfg.DataDir, logName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	from, err := log.Seek(0, 2)
	if err != nil {
		return err
	}
	// The server outlives ctx, so its command gets another.
	cmd := s.place.account.Command(context.WithoutCancel(ctx), s.place.home, s.bin.Postgres(), s.settings(port)...)
	cmd.Stdout, cmd.Stderr = log, log
	if s.cfg.detached {
		s.proc, err = startDetached(cmd)
	} else {
		s.proc, err = startSupervised(cmd)
	}
	if err != nil {
		return err
	}
	if s.cfg.Temporary || s.cfg.detached || !parentDeath {
		if s.dog, err = watch(s.proc.pid(), s.place.cluster(), s.doomed()); err != nil && (s.cfg.detached || !parentDeath) {
			return errors.Join(err, s.halt())
		}
	}
	if err := s.proc.awaitReady(ctx, s.place.cluster(), log.Name(), from); err != nil {
		return errors.Join(err, s.halt())
	}
	return nil
}

// doomed lists the folders to remove when a temporary server has ended.
func (s *Server) doomed() []string {
	if !s.cfg.Temporary {
		return nil
	}
	out := []string{s.place.home}
	if s.tempDir != "" {
		out = append(out, s.tempDir)
	}
	return out
}

// halt ends process and watchdog.
func (s *Server) halt() error {
	s.dog.dismiss()
	s.dog = nil
	if s.proc == nil {
		return nil
	}
	p := s.proc
	s.proc = nil
	return p.stop()
}

// Stop shuts the server down fast (sessions are ended, everything committed is
// on disk) and waits for it. A temporary server's files are removed.
func (s *Server) Stop() error {
	err := s.halt()
	if s.cfg.Temporary && s.place.home != "" {
		err = errors.Join(err, os.RemoveAll(s.place.home))
		for _, name := range []string{locationName, passwordName} {
			_ = os.Remove(filepath.Join(s.cfg.DataDir, name))
		}
	}
	s.lock.release()
	s.lock = nil
	if s.tempDir != "" {
		err = errors.Join(err, os.RemoveAll(s.tempDir))
	}
	return err
}

// Done is closed when the server process has ended, whoever ended it.
func (s *Server) Done() <-chan struct{} { return s.done }

// Addr is host and port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Port is the port on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// URL connects as the superuser to the database postgres. It holds the password.
func (s *Server) URL() string { return s.DatabaseURL("postgres") }

// DatabaseURL connects as the superuser to the database named.
func (s *Server) DatabaseURL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(superuser, s.password), Host: s.Addr(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Binaries reports which server runs: its version and where it is installed.
func (s *Server) Binaries() Binaries { return s.bin }

// Files is the folder of the server's files.
func (s *Server) Files() string { return s.place.home }

// Account is the account the server runs as; empty if that is the current user.
func (s *Server) Account() string { return s.place.account.Name }
