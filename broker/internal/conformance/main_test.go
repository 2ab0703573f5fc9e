package conformance

import (
	"os"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// TestMain overwrites every buffer that is returned for further use, so that one
// returned too early shows.
func TestMain(m *testing.M) {
	wire.PoisonBuffers(true)
	os.Exit(m.Run())
}
