package platform

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/services/inventory"
	"github.com/quokka-stream/quokka/services/notification"
	"github.com/quokka-stream/quokka/services/order"
	"github.com/quokka-stream/quokka/services/searchsync"
)

// Running is where a running platform can be reached, as kept in the file
// platform.json of its data directory, for the other commands. The file holds a
// password and is readable for its owner only.
type Running struct {
	PID             int       `json:"pid"`
	Started         time.Time `json:"started"`
	Installation    string    `json:"installation_id"`
	Kafka           []string  `json:"kafka"`
	RegistryURL     string    `json:"registry_url"`
	PostgresURL     string    `json:"postgres_url"`
	OrderURL        string    `json:"order_url"`
	InventoryURL    string    `json:"inventory_url"`
	NotificationURL string    `json:"notification_url"`
	SearchSyncURL   string    `json:"search_sync_url"`
	MailURL         string    `json:"mail_url"`
	SMTP            string    `json:"smtp"`
	TracesURL       string    `json:"traces_url,omitempty"`
	OTLP            string    `json:"otlp,omitempty"`
	DataDir         string    `json:"data_dir"`
	// Services has the URL of every service by name, of the four above too.
	Services map[string]string `json:"services"`
}

// serves notes where a service answers.
func (r *Running) serves(name, url string) {
	if r.Services == nil {
		r.Services = map[string]string{}
	}
	r.Services[name] = url
	switch name {
	case order.Name:
		r.OrderURL = url
	case inventory.Name:
		r.InventoryURL = url
	case notification.Name:
		r.NotificationURL = url
	case searchsync.Name:
		r.SearchSyncURL = url
	}
}

// RunningFile is the name of the file in the data directory.
const RunningFile = "platform.json"

// NotRunningError says that a data directory names no running platform.
type NotRunningError struct{ Dir string }

func (e *NotRunningError) Error() string {
	return fmt.Sprintf("no platform runs in %s: start one with `quokka up --data-dir %s`, name its --data-dir, or give the addresses (see --help)", e.Dir, e.Dir)
}

// Load reads the addresses of the platform that runs in a data directory.
func Load(dir string) (Running, error) {
	var r Running
	data, err := os.ReadFile(filepath.Join(dir, RunningFile))
	if errors.Is(err, os.ErrNotExist) {
		return r, &NotRunningError{dir}
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", filepath.Join(dir, RunningFile), err)
	}
	// A platform that was killed could not remove its file; its lock is free.
	if free, err := lockIsFree(dir); err == nil && free {
		return r, &NotRunningError{dir}
	}
	return r, nil
}

// save writes the file in one step.
func (r Running) save() error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(r.DataDir, RunningFile)
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// remove removes the file; the platform is about to end.
func (r Running) remove() { _ = os.Remove(filepath.Join(r.DataDir, RunningFile)) }

// KafkaText is the cluster's address as a user writes it.
func (r Running) KafkaText() string { return strings.Join(r.Kafka, ",") }
