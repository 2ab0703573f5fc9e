// Command order runs the order service, configured by the environment.
package main

import (
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/order"
)

func main() { service.Main(order.Name, order.New) }
