package strangers

import (
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker"
)

type brokerConfig = broker.Config

// eventually waits until the condition holds.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("the condition does not come true")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
