// Package failure has the errors of handlers as a minion sees them. A panic and a timeout become
// errors that keep the error of the user's code and add what the minion knows, such as the stack.
// [Of] turns an error into the form that the broker stores. [Pack] turns it into the form in which
// it crosses the border between a minion and a child process.
package failure
