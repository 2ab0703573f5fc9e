// Package collect gathers what happened on a platform, for package checker to
// judge: the records of the topics, the rows of the databases, the mails that
// arrived, the documents in the index and the client's ledger. It only reads,
// over the interfaces anyone could use, so it works on any Kafka, PostgreSQL
// and mail sink the platform runs on.
//
// The sources are read one after the other while the platform may still be at
// work, so facts hold against each other only once it has come to rest. Topics
// first, tables after them: an event seen has its row.
package collect

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/deploy/ledger"
	"github.com/quokka-stream/quokka/schemas/serde"
)

// Sources are the addresses of what is read. An empty MailURL or SearchURL
// leaves that source out.
type Sources struct {
	Brokers     []string
	RegistryURL string
	// PostgresURL names the server; the databases' names are the platform's.
	PostgresURL string
	// MailURL is the base address of a mail sink with Mailpit's API.
	MailURL string
	// SearchURL is the base address of search-sync.
	SearchURL string
	// LedgerDir is the directory of the client's ledger; empty: there is none.
	LedgerDir string
}

// Collector reads a platform again and again; what cannot change, such as a
// record, it reads once.
type Collector struct {
	src    Sources
	serde  *serde.Serde
	client *kgo.Client
	admin  *kadm.Client
	http   *http.Client

	topics  topicReader
	mails   mailReader
	index   indexReader
	indexed map[string]int
}

// New connects to the topics of a platform.
func New(src Sources) (*Collector, error) {
	s, err := serde.New(src.RegistryURL)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(src.Brokers...),
		kgo.ClientID("quokka-checker"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they count towards a partition's end
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return nil, err
	}
	return &Collector{
		src: src, serde: s, client: client, admin: kadm.NewClient(client),
		http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: parallel}},
	}, nil
}

// Close ends the connections.
func (c *Collector) Close() {
	c.client.Close()
	c.serde.Close()
	c.http.CloseIdleConnections()
}

// parallel bounds the requests under way at one HTTP source.
const parallel = 8

// Facts reads everything there is by now.
func (c *Collector) Facts(ctx context.Context) (checker.Facts, error) {
	var f checker.Facts
	if err := c.readLedger(&f); err != nil {
		return f, err
	}
	if err := c.readTopics(ctx, &f); err != nil {
		return f, fmt.Errorf("read the topics: %w", err)
	}
	if err := c.readLags(ctx, &f); err != nil {
		return f, fmt.Errorf("read the groups' offsets: %w", err)
	}
	rows, err := c.readDatabases(ctx, &f)
	if err != nil {
		return f, fmt.Errorf("read the databases: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	if c.src.MailURL != "" {
		g.Go(func() error {
			if err := c.readMails(ctx, &f); err != nil {
				return fmt.Errorf("read the mail sink: %w", err)
			}
			return nil
		})
	}
	if c.src.SearchURL != "" {
		g.Go(func() error {
			if err := c.readIndex(ctx, &f, rows); err != nil {
				return fmt.Errorf("read the index: %w", err)
			}
			return nil
		})
	}
	return f, g.Wait()
}

// Indexed is how many documents of each kind the index held at the last Facts.
func (c *Collector) Indexed() map[string]int { return c.indexed }

func (c *Collector) readLedger(f *checker.Facts) error {
	if c.src.LedgerDir == "" {
		return nil
	}
	sent, accepted, err := ledger.Read(c.src.LedgerDir)
	if err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	for _, s := range sent {
		f.Sent = append(f.Sent, checker.Sent{CustomerID: s.CustomerID, Key: s.Key})
	}
	for _, a := range accepted {
		f.Accepted = append(f.Accepted, checker.Accepted{OrderID: a.OrderID, CustomerID: a.CustomerID, Key: a.Key})
	}
	return nil
}

// connect connects to one of the platform's databases, as its owner.
func (c *Collector) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(c.src.PostgresURL)
	if err != nil {
		return nil, err
	}
	cfg.Database = database
	cfg.RuntimeParams["role"] = database
	cfg.RuntimeParams["application_name"] = "quokka-checker"
	return pgx.ConnectConfig(ctx, cfg)
}

// base joins a base address and a path.
func base(url, path string) string { return strings.TrimSuffix(url, "/") + path }
