// tables/composed.hpp: tables made of tables, and the two without a source.       DATABASE_README, pipemap, unionmap, randmap
// unionmap  the values of all members that have the key, with commas between; not there where none has it.
// pipemap   the value of one is the key of the next; not there as soon as one has it not.
// randmap   one of its values, by chance, for every key.     internal  empty: what other processes would put there is theirs.
// debug     another table, and a log line for every answer.
// Errors    of any member are the answer: a member that failed is never "not there".
// Shape     whether pieces of an address are looked up is decided by the first member.
#pragma once

#include "tables/table.hpp"

namespace posthorn::tables {

std::shared_ptr<Table> open_unionmap(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_pipemap(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_randmap(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_internal(std::string spec, std::string name, Flags flags, Tables& tables);
std::shared_ptr<Table> open_debug(std::string spec, std::string name, Flags flags, Tables& tables);
/// The members of "unionmap:{...}" and "pipemap:{...}", the table of "debug:...": what their files are is theirs to say.
std::vector<std::string> members_of(std::string_view spec);

}  // namespace posthorn::tables
