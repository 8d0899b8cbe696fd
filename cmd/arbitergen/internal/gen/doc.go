// Package gen is the code generator of the command arbitergen. It generates typed handles for functions with the comment
// //arbiter:task.
//
// A run has these stages, each in files of its own:
//
//	golist, load, unit       find the packages and read their files
//	scan, directive, keys, settings
//	                         find the comments and read their options
//	client                   find the packages that handles are generated into
//	needs, require           find the imports that matter for types
//	declare, check           check types, from source and export data, without function bodies
//	task, optional           read the annotated functions as tasks
//	shape, structs, methods  check that their types can be encoded, and describe the encoding
//	names, scope, imports    choose the names in generated code
//	render                   generate the code
//	output                   write, compare or remove files
//	schema, manifest         describe all tasks in a file
//	compat                   compare the tasks with such a file
//
// The packages that a run works on need not compile, since they may refer to names that are about to be generated. So the
// old generated file is never read, and the names are declared in the syntax trees before types are checked (see
// declare). All errors are reported in one run, with their positions.
package gen
