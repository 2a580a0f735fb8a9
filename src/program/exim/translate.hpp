// exim/translate.hpp: what an Exim configuration becomes here. Pure but for what `Machine` answers.
// Shape    main.cf's settings, master.cf's lines and tables, each with the statements that it comes of; and for every statement of the
//          configuration a verdict: what it becomes, that nothing is needed for it, or that it is not carried over, why, and what to do by hand.
// Safe     what is written lets in no more than Exim did: an accept that cannot be said exactly is left out or narrower, a deny that cannot be
//          is `loud`, and for a require that cannot be nothing is to be written at all (`refusals`).
// Source   Exim's specification 4.96: 14 (main options), 15 to 30 (routers, transports), 31, 32, 33 to 41, 44 (ACLs); postconf(5), access(5).
#pragma once

#include "exim/configuration.hpp"
#include "exim/pattern_set.hpp"
#include "migrate/translation.hpp"

#include <string>
#include <vector>

namespace posthorn::exim {

using migrate::Place;
using migrate::ServiceLines;
using migrate::Setting;
using migrate::TableText;
using migrate::Translation;
using migrate::Verdict;

Translation translate(const Configuration& configuration, const Machine& machine);
/// Statements of the configuration that no verdict speaks of, as "FILE, line N: name". There are none.
std::vector<std::string> unjudged(const Configuration& configuration, const Translation& translation);

}  // namespace posthorn::exim
