// Package brokertest gives tests a Kafka broker: the one named by
// QUOKKA_KAFKA_BROKERS where that is set, else an embedded Quokka broker.
package brokertest

import (
	"os"
	"strings"
	"testing"
)

// Brokers returns bootstrap addresses that live at least as long as the test.
func Brokers(t testing.TB) []string {
	t.Helper()
	if env := os.Getenv("QUOKKA_KAFKA_BROKERS"); env != "" {
		return strings.Split(env, ",")
	}
	t.Fatal("the embedded broker is not wired yet; set QUOKKA_KAFKA_BROKERS")
	return nil
}
