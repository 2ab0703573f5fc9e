// Package templateplain watches the events of other services.
//
// It is what `quokka new service` makes a service without a database of: a service
// like any other, which its own test runs, but part of no platform. Package
// template, its sibling with a database, says what the comments that begin with
// //template: mean.
package templateplain
