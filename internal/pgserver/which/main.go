// Command which says which PostgreSQL server the tests and the embedded platform
// use on this machine, or how to get one.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/quokka-stream/quokka/internal/pgserver"
)

func main() {
	bin, err := pgserver.Find(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("PostgreSQL: %s (%s)\n", bin.Version, bin.Postgres())
}
