// Command template runs the template service, configured by the environment.
package main

import (
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/template"
)

//template:part the program

func main() { service.Main(template.Name, template.New) }

//template:end
