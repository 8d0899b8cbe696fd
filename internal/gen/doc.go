// Package gen is the code generator behind the command arbitergen: it turns
// functions with the comment //arbiter:task into typed handles.
//
// A run passes through these stages, each in files of its own:
//
//	golist, load, unit       which packages there are, and what is in their files
//	scan, directive, keys, settings
//	                         the comments: where they stand, what they say
//	client                   whether handles go to a package of their own
//	needs, require           which of the imports matter
//	declare, check           types, from source and export data, without bodies
//	task, optional           what an annotated function is as a task
//	shape, structs, methods  whether its types can be encoded, and how
//	names, scope, imports    what generated code calls everything
//	render                   the code
//	output                   write, compare or remove files
//	schema, manifest         what the tasks look like on their way, to keep
//	compat                   and to compare with later
//
// The packages that are worked on need not compile: they may miss the very
// names that are about to be generated. So the old generated file is never
// read, and the names are declared in the syntax trees before types are
// checked (see declare). Whatever is wrong is reported with its position, all
// of it in one run.
package gen
