// Package postgres is how a service uses its database: one database per service
// on a shared server, owned by a role of the same name without login.
//
// Provision creates both and is called by whoever deploys, with an administrator's
// URL. Open connects with that URL's login and runs as the role, so a service
// needs no password of its own and cannot touch another service's tables. Migrate
// brings the kit's tables (the inbox) and the service's up to date.
package postgres
