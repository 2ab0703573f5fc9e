// Package notification mails customers at each step of their orders.
//
// It promises one mail per event and customer: the mail is recorded in the
// transaction that takes the event off the inbox, and its Message-ID is the
// event's id. One window remains, as with any mail server: a process that dies
// after the server stored the mail and before the transaction committed sends
// the same Message-ID again.
//
// Events carry no name or address. notification keeps an address book from the
// change topic of the customers table; an event whose customer is not in the
// book yet waits for it.
package notification
