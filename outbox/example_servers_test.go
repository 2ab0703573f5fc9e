package outbox_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/internal/pgserver"
)

var exampleTopic = "outbox.example." + uuid.NewString()

// exampleServers gives the example a database and brokers.
func exampleServers() (databaseURL string, brokers []string, done func()) {
	t := &exampleTB{}
	return pgserver.NewDatabase(t), brokertest.Brokers(t), t.cleanup
}

// exampleTB is the part of testing.TB that the servers need; an example gets none.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (t *exampleTB) Helper()                           {}
func (t *exampleTB) Name() string                      { return "Example" }
func (t *exampleTB) Log(args ...any)                   { fmt.Fprintln(os.Stderr, args...) }
func (t *exampleTB) Logf(format string, args ...any)   { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (t *exampleTB) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (t *exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (t *exampleTB) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleTB) TempDir() string {
	dir, err := os.MkdirTemp("", "outbox-example-")
	if err != nil {
		panic(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (t *exampleTB) cleanup() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}
