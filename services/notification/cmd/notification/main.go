// Command notification runs the notification service. It is configured by the
// environment; any argument prints the variables.
package main

import (
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/notification"
)

func main() { service.Main(notification.Name, notification.New) }
