// Package template records the events of other services.
//
// It is what `quokka new service` makes a service with a database of: a service
// like any other, which its own test runs, but part of no platform. Comments that
// begin with //template: mark what is left out or repeated; what `quokka new
// service --check` compares with other services stands between //template:part and
// //template:end. Package deploy/newservice reads them.
package template
