// Command searchsync runs the search-sync service. It is configured by the
// environment; any argument prints the variables.
package main

import (
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/searchsync"
)

func main() { service.Main(searchsync.Name, searchsync.New) }
