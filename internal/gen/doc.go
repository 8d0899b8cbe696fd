// Package gen is the code generator behind the command arbitergen: it turns
// functions with the comment //arbiter:task into typed handles.
//
// A run passes through these stages, each in files of its own:
//
//	golist, unit   which packages there are, and what is in their files
//	directive      the comments: where they stand, what they say
//	load, check    types, from source and export data, without function bodies
//	signature      a task for each annotated function
//	shape          whether its types can be encoded, and how they look then
//	names          what generated code calls everything
//	render         the code
//	output         write, compare or remove files
//	manifest       the tasks' schemas, to keep and to compare with later
//
// The packages that are worked on need not compile: they may miss the very
// names that are about to be generated. So the old generated file is never
// read, and the names are declared in the syntax trees before types are
// checked (see declare). Whatever is wrong is reported with its position, all
// of it in one run.
package gen
