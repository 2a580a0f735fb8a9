// kumomta/translate.hpp: what a policy of KumoMTA's becomes here. Pure but for what `Machine` answers.
// Shape    migrate/translation.hpp: settings, services, tables with what they come of; for every option of a call, a file or an answer a verdict.
// Safe     what is written lets in no more than KumoMTA did: who may relay is relay_hosts and relay_to; what cannot be said exactly is left out.
// Source   KumoMTA's reference manual; its policy helpers' files; docs/from-kumomta.md.
#pragma once

#include "kumomta/policy.hpp"
#include "migrate/translation.hpp"

namespace posthorn::kumomta {

migrate::Translation translate(const Policy& policy, const Machine& machine);

}  // namespace posthorn::kumomta
