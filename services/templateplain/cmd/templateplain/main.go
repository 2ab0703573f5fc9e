// Command templateplain runs the templateplain service, configured by the environment.
package main

import (
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/templateplain"
)

//template:part the program

func main() { service.Main(templateplain.Name, templateplain.New) }

//template:end
