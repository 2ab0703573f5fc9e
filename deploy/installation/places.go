package installation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// directory keeps the mark in a file.
type directory struct{ path string }

// fileName is the mark's file in the data directory.
const fileName = "installation.json"

func (d directory) name() string { return "the data directory " + d.path }

func (d directory) read(context.Context) (*Mark, error) {
	data, err := os.ReadFile(filepath.Join(d.path, fileName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m Mark
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", fileName, err)
	}
	return &m, nil
}

// write replaces the file in one step, so that no reader sees half of it.
func (d directory) write(_ context.Context, m Mark) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(d.path, fileName)
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// postgres keeps the mark in a table of its own beside order's.
type postgres struct{ url string }

const markDatabase = "quokka_order"

func (p postgres) name() string { return "PostgreSQL at " + withoutPassword(p.url) }

func (p postgres) connect(ctx context.Context) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(p.url)
	if err != nil {
		return nil, err
	}
	cfg.Database = markDatabase
	cfg.RuntimeParams["role"] = markDatabase
	return pgx.ConnectConfig(ctx, cfg)
}

func (p postgres) read(ctx context.Context) (*Mark, error) {
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	if err := conn.QueryRow(ctx, `select to_regclass('quokka.installation') is not null`).Scan(&exists); err != nil || !exists {
		return nil, err
	}
	var m Mark
	err = conn.QueryRow(ctx, `select installation_id, kafka_cluster_id from quokka.installation`).Scan(&m.ID, &m.Cluster)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &m, err
}

func (p postgres) write(ctx context.Context, m Mark) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, statement := range []string{
			`create schema if not exists quokka`,
			`create table if not exists quokka.installation (
				only_one         boolean primary key default true check (only_one),
				installation_id  text not null,
				kafka_cluster_id text not null,
				created_at       timestamptz not null default now()
			)`,
		} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `insert into quokka.installation (installation_id, kafka_cluster_id) values ($1, $2)`, m.ID, m.Cluster)
		return err
	})
}

// registry keeps the mark in a schema that nobody encodes with: an empty record
// with two properties of its own.
type registry struct{ url string }

const markSubject = "quokka.installation"

func (r registry) name() string { return "the schema registry at " + r.url }

func (r registry) read(ctx context.Context) (*Mark, error) {
	var version struct{ Schema string }
	status, err := r.call(ctx, http.MethodGet, "/subjects/"+markSubject+"/versions/latest", nil, &version)
	if status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m Mark
	if err := json.Unmarshal([]byte(version.Schema), &m); err != nil || m.ID == "" {
		return nil, fmt.Errorf("subject %s does not hold an installation id", markSubject)
	}
	return &m, nil
}

func (r registry) write(ctx context.Context, m Mark) error {
	schema, err := json.Marshal(struct {
		Type      string `json:"type"`
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		Fields    []any  `json:"fields"`
		Mark
	}{"record", "Installation", "quokka", []any{}, m})
	if err != nil {
		return err
	}
	_, err = r.call(ctx, http.MethodPost, "/subjects/"+markSubject+"/versions", map[string]string{"schema": string(schema)}, nil)
	return err
}

// forget lets the next installation write its mark beside the old one.
func (r registry) forget(ctx context.Context) error {
	status, err := r.call(ctx, http.MethodDelete, "/subjects/"+markSubject, nil, nil)
	if status == http.StatusNotFound {
		return nil
	}
	return err
}

func (r registry) call(ctx context.Context, method, path string, in, out any) (status int, err error) {
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return 0, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(r.url, "/")+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	return do(req, out)
}

// What a place is asked to change may take as long as the place itself allows: an
// OpenSearch that has just started gives a write a minute until its shard is there.
// Who gives up earlier fails at what would have been done.
const (
	readPatience  = 10 * time.Second
	writePatience = 90 * time.Second
)

// transport keeps no connections: there are a few requests in all.
var transport http.RoundTripper = &http.Transport{DisableKeepAlives: true}

// do sends a request to a place and decodes its answer.
func do(req *http.Request, out any) (status int, err error) {
	client := &http.Client{Timeout: writePatience, Transport: transport}
	if req.Method == http.MethodGet {
		client.Timeout = readPatience
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return resp.StatusCode, err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return resp.StatusCode, fmt.Errorf("%s %s: %s: %s", req.Method, req.URL.Path, resp.Status, bytes.TrimSpace(answer))
	}
	if out == nil {
		return resp.StatusCode, nil
	}
	return resp.StatusCode, json.Unmarshal(answer, out)
}
