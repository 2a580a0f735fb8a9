// migrate/show.hpp: a survey as text for people and as JSON for programs.
#pragma once

#include "migrate/survey.hpp"
#include "migrate/take_over.hpp"

#include <string>

namespace posthorn::migrate {

std::string as_text(const Survey& survey);
/// One object: directory, starts, parameters, services, findings, notes, tables.
std::string as_json(const Survey& survey);
/// What a start would warn of, and which files are too open: the findings alone, a line each.
std::string findings_text(const Survey& survey);
std::string findings_json(const std::vector<Finding>& findings);
/// What became of a queue. `in`: it was taken over; else it was given back.
std::string as_text(const Taken& taken, bool in);
std::string as_json(const Taken& taken);
/// Whether anything in it asks for a look.
bool differs(const Survey& survey);

}  // namespace posthorn::migrate
