package broker

import "strings"

// MaxScopedKey is the longest [Task.Unique], in bytes.
const MaxScopedKey = MaxName + len(scopeEnd) + MaxUniqueKey

// scopeEnd separates the scope from the key. It can't be part of a name, so it is in no
// scope.
const scopeEnd = "/"

// ScopedKey returns the [Task.Unique] of a key in a scope. The scope is a name: of the
// task, or one that several tasks share. Equal keys in different scopes are different. A
// broker compares the result as a whole.
func ScopedKey(scope, key string) string { return scope + scopeEnd + key }

// SplitKey returns the scope and key of a [Task.Unique]. The scope is empty if ScopedKey
// did not make it.
func SplitKey(unique string) (scope, key string) {
	if scope, key, ok := strings.Cut(unique, scopeEnd); ok {
		return scope, key
	}
	return "", unique
}
