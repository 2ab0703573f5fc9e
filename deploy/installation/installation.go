// Package installation ties together what belongs together: the databases, the
// Kafka cluster, the schema registry, the OpenSearch if there is one, and the
// data directory of one Quokka.
//
// Rows, records and schema ids refer to each other: databases with another
// Kafka's topics would hold orders whose events are nowhere, and a second
// registry would decode the records with the wrong schemas. So each place
// carries a mark with the installation's id and the cluster it belongs to, and
// places whose marks differ are not started together.
package installation

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
)

// Mark says which installation a place belongs to.
type Mark struct {
	ID      string `json:"installation_id"`
	Cluster string `json:"kafka_cluster_id"`
}

// Config names the places of an installation.
type Config struct {
	// DataDir is the directory of the local files; empty: there are none.
	DataDir string
	// PostgresURL is the server with the databases, which exist.
	PostgresURL string
	// RegistryURL is the schema registry.
	RegistryURL string
	// SearchURL is the OpenSearch with the search indexes; empty: they are local
	// files.
	SearchURL string
	// Kafka is the address of the cluster, for messages, and Cluster its id.
	Kafka, Cluster string
	// Admin reaches the cluster; Reset and an OpenSearch need it.
	Admin *kadm.Client
}

// MismatchError says that two places do not belong to each other.
type MismatchError struct {
	// One and Other say what each place is and belongs to.
	One, Other string
}

func (e *MismatchError) Error() string {
	return "these do not belong together:\n  " + e.One + "\n  " + e.Other +
		"\nGive the ones that belong together, or another --data-dir." +
		"\nOr start over with --reset: it deletes Quokka's topics, groups, databases and files in these places."
}

// place is somewhere a mark is kept.
type place interface {
	// name is what a user calls it.
	name() string
	// read returns the mark, or nil where there is none.
	read(ctx context.Context) (*Mark, error)
	write(ctx context.Context, m Mark) error
}

// Ensure checks that the places belong together, marks those that are new, and
// returns the installation's mark.
func Ensure(ctx context.Context, cfg Config) (Mark, error) {
	// The order of writing: a crash leaves marks in the first places only.
	places := []place{postgres{cfg.PostgresURL}, registry{cfg.RegistryURL}}
	if cfg.DataDir != "" {
		places = append(places, directory{cfg.DataDir})
	}
	if cfg.SearchURL != "" { // last: an installation may get one later
		places = append(places, search{cfg.SearchURL, cfg.Admin})
	}
	found := make([]state, len(places))
	for i, p := range places {
		mark, err := p.read(ctx)
		if err != nil {
			return Mark{}, fmt.Errorf("read the installation id of %s: %w", p.name(), err)
		}
		found[i] = state{p.name(), mark}
	}
	mark, err := decide(found, cfg.Kafka, cfg.Cluster)
	if err != nil {
		return Mark{}, err
	}
	if mark == nil {
		id, err := uuid.NewV7()
		if err != nil {
			return Mark{}, err
		}
		mark = &Mark{ID: id.String(), Cluster: cfg.Cluster}
	}
	for i, p := range places {
		if found[i].mark != nil {
			continue
		}
		if err := p.write(ctx, *mark); err != nil {
			return Mark{}, fmt.Errorf("write the installation id to %s: %w", p.name(), err)
		}
	}
	return *mark, nil
}

// state is what was found in a place.
type state struct {
	place string
	mark  *Mark
}

func (s state) String() string {
	if s.mark == nil {
		return s.place + " belongs to no installation yet"
	}
	return fmt.Sprintf("%s belongs to installation %s on Kafka cluster %s", s.place, s.mark.ID, s.mark.Cluster)
}

// decide returns the mark that all places share, nil if none has one, or a
// *MismatchError. Places are marked in the order given, so a place without a
// mark behind one with a mark is new or was left by a crash; the other way
// round, it is somebody else's.
func decide(found []state, kafka, cluster string) (*Mark, error) {
	var first *state
	for i, s := range found {
		if s.mark == nil {
			continue
		}
		if s.mark.Cluster != cluster {
			return nil, &MismatchError{s.String(), fmt.Sprintf("Kafka at %s is cluster %s", kafka, cluster)}
		}
		if first != nil && s.mark.ID != first.mark.ID {
			return nil, &MismatchError{first.String(), s.String()}
		}
		if first == nil {
			first = &found[i]
		}
		for _, before := range found[:i] {
			if before.mark == nil {
				return nil, &MismatchError{s.String(), before.String()}
			}
		}
	}
	if first == nil {
		return nil, nil
	}
	return first.mark, nil
}

// IsMismatch reports whether err says that places do not belong together.
func IsMismatch(err error) bool {
	var mismatch *MismatchError
	return errors.As(err, &mismatch)
}

// withoutPassword is a server's address as it may be shown.
func withoutPassword(url string) string {
	if at := strings.LastIndexByte(url, '@'); at >= 0 {
		url = url[at+1:]
	}
	url, _, _ = strings.Cut(url, "?")
	url = strings.TrimPrefix(strings.TrimPrefix(url, "postgres://"), "postgresql://")
	host, _, _ := strings.Cut(url, "/")
	return host
}
