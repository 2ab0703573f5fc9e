package installation

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/quokka-stream/quokka/internal/pgserver"
)

func TestDecide(t *testing.T) {
	a, b := &Mark{"A", "K"}, &Mark{"B", "K"}
	far := &Mark{"A", "elsewhere"}
	for _, tt := range []struct {
		name  string
		marks [3]*Mark // PostgreSQL, registry, directory
		want  *Mark
		says  []string // of a mismatch
	}{
		{"all new", [3]*Mark{}, nil, nil},
		{"all agree", [3]*Mark{a, a, a}, a, nil},
		{"a crash after the first", [3]*Mark{a, nil, nil}, a, nil},
		{"a crash after the second, or a new directory", [3]*Mark{a, a, nil}, a, nil},
		{"the directory of another Kafka", [3]*Mark{far, far, far}, nil, []string{"pg belongs to installation A on Kafka cluster elsewhere", "Kafka at host:9092 is cluster K"}},
		{"another Kafka beside the same directory", [3]*Mark{nil, nil, far}, nil, []string{"dir belongs to installation A on Kafka cluster elsewhere", "cluster K"}},
		{"another directory", [3]*Mark{a, a, b}, nil, []string{"pg belongs to installation A", "dir belongs to installation B"}},
		{"another registry", [3]*Mark{a, b, a}, nil, []string{"pg belongs to installation A", "reg belongs to installation B"}},
		{"an empty PostgreSQL beside a used Kafka", [3]*Mark{nil, a, nil}, nil, []string{"reg belongs to installation A", "pg belongs to no installation"}},
		{"an empty registry in an installation's place", [3]*Mark{a, nil, a}, nil, []string{"dir belongs to installation A", "reg belongs to no installation"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decide([]state{{"pg", tt.marks[0]}, {"reg", tt.marks[1]}, {"dir", tt.marks[2]}}, "host:9092", "K")
			if tt.says == nil {
				if err != nil || got != tt.want {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if !IsMismatch(err) {
				t.Fatalf("got %v, %v, want a mismatch", got, err)
			}
			for _, says := range append(tt.says, "--reset") {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q is not in: %v", says, err)
				}
			}
		})
	}
}

// fakeRegistry keeps the latest schema of each subject.
func fakeRegistry(t *testing.T) string {
	var mu sync.Mutex
	subjects := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		subject := strings.Split(r.URL.Path, "/")[2]
		switch {
		case r.Method == http.MethodPost:
			var in struct{ Schema string }
			body, _ := io.ReadAll(r.Body)
			if err := json.Unmarshal(body, &in); err != nil {
				t.Error(err)
			}
			subjects[subject] = in.Schema
			io.WriteString(w, `{"id":1}`)
		case subjects[subject] == "":
			http.Error(w, `{"error_code":40401,"message":"Subject not found."}`, http.StatusNotFound)
		case r.Method == http.MethodDelete:
			delete(subjects, subject)
			io.WriteString(w, `[1]`)
		default:
			json.NewEncoder(w).Encode(map[string]any{"schema": subjects[subject]})
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestEnsure(t *testing.T) {
	ctx := t.Context()
	url := pgserver.ForTest(t)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, statement := range []string{"create role quokka_order nologin", "create database quokka_order owner quokka_order"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Config{DataDir: t.TempDir(), PostgresURL: url, RegistryURL: fakeRegistry(t), Kafka: "127.0.0.1:9092", Cluster: "K1"}
	first, err := Ensure(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Ensure(ctx, cfg)
	if err != nil || again != first || first.Cluster != "K1" {
		t.Errorf("first %v, again %v, %v", first, again, err)
	}
	elsewhere := cfg
	elsewhere.DataDir = t.TempDir()
	if adopted, err := Ensure(ctx, elsewhere); err != nil || adopted != first {
		t.Errorf("a new directory beside the same servers: %v, %v", adopted, err)
	}
	other := cfg
	other.Kafka, other.Cluster = "127.0.0.1:9093", "K2"
	if _, err := Ensure(ctx, other); !IsMismatch(err) || !strings.Contains(err.Error(), "127.0.0.1:9093 is cluster K2") {
		t.Errorf("another Kafka: %v", err)
	}
	if strings.Contains(errorText(Ensure(ctx, other)), "postgres:") {
		t.Error("the message shows a login")
	}
	other = cfg
	other.RegistryURL = fakeRegistry(t)
	if _, err := Ensure(ctx, other); !IsMismatch(err) {
		t.Errorf("another registry: %v", err)
	}

	if err := resetPostgres(ctx, url); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := conn.QueryRow(ctx, "select count(*) from pg_database where datname = any($1)", Databases).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d databases are left (%v)", left, err)
	}
	if err := (registry{cfg.RegistryURL}).forget(ctx); err != nil {
		t.Fatal(err)
	}
	if mark, err := (registry{cfg.RegistryURL}).read(ctx); err != nil || mark != nil {
		t.Errorf("registry after reset: %v, %v", mark, err)
	}
}

func errorText(_ Mark, err error) string { return errors.Join(err, errors.New("")).Error() }

func TestWithoutPassword(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://u:p@h:5/db?sslmode=disable": "h:5",
		"postgresql://h/db":                     "h",
		"postgres://u:p%40x@h:5":                "h:5",
	} {
		if got := withoutPassword(url); got != want {
			t.Errorf("withoutPassword(%q) = %q, want %q", url, got, want)
		}
	}
}
