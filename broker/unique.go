package broker

import "strings"

// MaxScopedKey is the longest [Task.Unique], in bytes.
const MaxScopedKey = MaxName + len(scopeEnd) + MaxUniqueKey

// scopeEnd is no part of a name, and so of no scope.
const scopeEnd = "/"

// ScopedKey returns the [Task.Unique] of a key in a scope, which is a name: that of
// the task, or one that several tasks share. Keys of different scopes are different.
// A broker compares what this returns, and reads nothing in it.
func ScopedKey(scope, key string) string { return scope + scopeEnd + key }

// SplitKey returns scope and key of a [Task.Unique]. One that ScopedKey has not made
// has no scope.
func SplitKey(unique string) (scope, key string) {
	if scope, key, ok := strings.Cut(unique, scopeEnd); ok {
		return scope, key
	}
	return "", unique
}
