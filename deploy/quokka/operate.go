package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/operate"
	"github.com/quokka-stream/quokka/deploy/platform"
)

// cluster says which Kafka to operate on: the one of a running platform's data
// directory, or the one at an address.
type cluster struct {
	target
}

// open connects to the cluster. Without a registry values stay undecoded.
func (c cluster) open(ctx context.Context) (*operate.Client, error) {
	at, err := c.running()
	var missing *platform.NotRunningError
	if errors.As(err, &missing) && len(c.Kafka) > 0 {
		at, err = platform.Running{Kafka: c.Kafka, RegistryURL: c.Registry}, nil
	}
	if err != nil {
		return nil, err
	}
	return operate.Open(ctx, at.Kafka, at.RegistryURL)
}

// printJSON prints v for a program to read.
func printJSON(out *output, v any) error {
	enc := json.NewEncoder(out.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// age prints a time that has passed, as exactly as one wants to know it.
func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f d", d.Hours()/24)
}

// ranges prints numbers, sorted, with neighbours drawn together: 0-2,5.
func ranges(ids []int32) string {
	var parts []string
	for i := 0; i < len(ids); {
		j := i
		for j+1 < len(ids) && ids[j+1] == ids[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(ids[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", ids[i], ids[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}
