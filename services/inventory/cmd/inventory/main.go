// Command inventory runs the inventory service, configured by the environment.
package main

import (
	"github.com/quokka-stream/quokka/services/inventory"
	"github.com/quokka-stream/quokka/services/kit/service"
)

func main() { service.Main(inventory.Name, inventory.New) }
