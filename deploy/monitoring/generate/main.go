// Command generate writes the dashboards as Grafana reads them.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/quokka-stream/quokka/deploy/monitoring"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run() error {
	for _, d := range monitoring.Dashboards {
		text, err := d.JSON()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(monitoring.Dir(), d.File()), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
