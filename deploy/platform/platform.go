package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quokka-stream/quokka/deploy/installation"
	"github.com/quokka-stream/quokka/deploy/ledger"
	"github.com/quokka-stream/quokka/deploy/tracestore"
	"github.com/quokka-stream/quokka/schemas/apply"
	"github.com/quokka-stream/quokka/services/kit/postgres"
	"github.com/quokka-stream/quokka/services/kit/service"
)

// Platform is a running platform.
type Platform struct {
	cfg       Config
	log       *slog.Logger
	output    io.Writer
	listeners *listeners
	parts     *supervisor
	traces    *tracestore.Store // nil with an OTLP endpoint

	ready []check // what must pass before the platform is ready

	mu      sync.Mutex // guards at while the parts start
	at      Running
	cluster string

	stopOnce sync.Once
	stopErr  error
}

// Names in the data directory.
const (
	brokerDir   = "broker"
	postgresDir = "postgres"
	mailDir     = "mail"
	indexDir    = "index"
	logFile     = "quokka.log"
)

// Start starts the platform and returns when every part answers. On an error
// everything that was started has been stopped.
func Start(ctx context.Context, cfg Config) (*Platform, error) {
	if cfg.Notice == nil {
		cfg.Notice = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	cfg.DataDir = dir
	p := &Platform{cfg: cfg, parts: newSupervisor(), at: Running{PID: os.Getpid(), DataDir: dir}}
	if err := p.start(ctx); err != nil {
		// The part that failed by itself is the cause; what waited for it only
		// noticed.
		select {
		case cause := <-p.parts.failed:
			err = errors.Join(cause, err)
		default:
		}
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (p *Platform) start(ctx context.Context) error {
	if err := p.openDir(); err != nil {
		return err
	}
	var err error
	if p.listeners, err = listen(ctx, p.cfg); err != nil {
		return err
	}
	// A part that fails while others wait for it ends their waiting.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-p.parts.failed:
			p.parts.failed <- err
			cancel(err)
		case <-ctx.Done():
		}
	}()
	if err := p.startInfrastructure(ctx); err != nil {
		return err
	}
	if err := p.startServices(ctx); err != nil {
		return err
	}
	if err := p.awaitReady(ctx); err != nil {
		return err
	}
	p.at.Started = time.Now().UTC().Truncate(time.Millisecond)
	return p.at.save()
}

// openDir locks the data directory and opens the log.
func (p *Platform) openDir() error {
	lock, err := lockDir(p.cfg.DataDir)
	if err != nil {
		return err
	}
	p.parts.closer(files, "lock", lock.Close)
	if p.cfg.LogFile == "" {
		p.cfg.LogFile = filepath.Join(p.cfg.DataDir, logFile)
	}
	file, err := openLog(p.cfg.LogFile)
	if err != nil {
		return err
	}
	p.parts.closer(files, "log", file.Close)
	p.output = file
	base, err := service.Load[service.Config](p.cfg.Environ)
	if err != nil {
		return err
	}
	p.log = slog.New(slog.NewJSONHandler(p.output, &slog.HandlerOptions{Level: base.LogLevel})).With("service", "quokka")
	p.parts.log = p.log
	return nil
}

// logLimit is the size above which the log of earlier runs is put aside.
const logLimit = 64 << 20

func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > logLimit {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// startInfrastructure starts what the services need, and checks that it belongs
// together before anything of it is changed. Kafka and PostgreSQL start at the
// same time: PostgreSQL takes longest.
func (p *Platform) startInfrastructure(ctx context.Context) error {
	p.startTraces()
	// Nobody else's topics are in a broker that lives in our directory.
	early := len(p.cfg.Kafka) == 0 && p.cfg.RegistryURL == "" && !p.cfg.Reset
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.startPostgres(gctx) })
	g.Go(func() error {
		if err := p.startKafka(gctx); err != nil {
			return err
		}
		if err := p.startRegistry(gctx); err != nil {
			return err
		}
		if early {
			return p.applySchemas(gctx)
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	admin, err := p.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	places := installation.Config{
		DataDir: p.cfg.DataDir, PostgresURL: p.at.PostgresURL, RegistryURL: p.at.RegistryURL, SearchURL: p.cfg.SearchURL,
		Kafka: p.at.KafkaText(), Cluster: p.cluster, Admin: admin,
	}
	if p.cfg.Reset {
		if err := installation.Reset(ctx, places, ledger.FileName, mailDir, indexDir); err != nil {
			return err
		}
	}
	if err := p.provision(ctx); err != nil {
		return err
	}
	mark, err := installation.Ensure(ctx, places)
	if err != nil {
		return err
	}
	p.at.Installation = mark.ID
	if !early {
		if err := p.applySchemas(ctx); err != nil {
			return err
		}
	}
	return p.startMailSink()
}

func (p *Platform) provision(ctx context.Context) error {
	for _, name := range installation.Databases {
		if err := postgres.Provision(ctx, p.at.PostgresURL, name); err != nil {
			return err
		}
	}
	return nil
}

func (p *Platform) applySchemas(ctx context.Context) error {
	return apply.Apply(ctx, apply.Config{Brokers: p.at.Kafka, RegistryURL: p.at.RegistryURL, Logger: p.log})
}

// Running is where the platform's parts can be reached.
func (p *Platform) Running() Running { return p.at }

// Wait returns when ctx ends, with nil, or when a part has failed, naming it.
func (p *Platform) Wait(ctx context.Context) error {
	select {
	case err := <-p.parts.failed:
		return fmt.Errorf("%w (the log is in %s)", err, p.cfg.LogFile)
	case <-ctx.Done():
		return nil
	}
}

// Stop stops everything and waits until it has ended. A temporary data
// directory is removed.
func (p *Platform) Stop() error {
	p.stopOnce.Do(func() {
		p.at.remove()
		if p.listeners != nil {
			p.listeners.close()
		}
		p.stopErr = p.parts.stop()
		if p.cfg.Temporary {
			p.stopErr = errors.Join(p.stopErr, os.RemoveAll(p.cfg.DataDir))
		}
	})
	return p.stopErr
}
