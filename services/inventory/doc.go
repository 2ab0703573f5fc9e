// Package inventory keeps the catalogue of products and their stock, and reserves
// stock for orders.
//
// An order's stock is reserved whole or not at all. Every change of stock is a
// movement; the sum of a product's movements is its available stock, at any commit.
// A reservation per order, and one movement per order, product and kind, make
// every event's effect happen once even if the inbox has forgotten it.
//
// The catalogue (products) is captured by change data capture; stock, which changes
// with every order, is a table of its own and is not.
package inventory
