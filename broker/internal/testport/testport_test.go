package testport

import (
	"net"
	"testing"
)

// TestTake: a port that was taken is not given again, although nobody listens on it, and
// one that a program listens on is not given either.
func TestTake(t *testing.T) {
	at, release := take(0)
	first := at.Port - lowest
	if other, release := take(first); other.Port == at.Port {
		t.Errorf("%v was given twice", at)
	} else {
		release()
	}
	l, err := net.ListenTCP("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if other, release := take(first); other.Port == at.Port {
		t.Errorf("%v was given, and is listened on", at)
	} else {
		release()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if other := Take(t); other == Take(t) {
		t.Errorf("%s was given twice", other)
	}
}
