// migrate/show.hpp: a survey as text for people and as JSON for programs.
#pragma once

#include "migrate/survey.hpp"

#include <string>

namespace posthorn::migrate {

std::string as_text(const Survey& survey);
/// One object: directory, starts, parameters, services, findings, notes, tables.
std::string as_json(const Survey& survey);
/// Whether anything in it asks for a look.
bool differs(const Survey& survey);

}  // namespace posthorn::migrate
