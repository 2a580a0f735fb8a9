// admin/page.hpp: what a browser is shown: written here, without a script, so that nothing of it can run. It asks for nothing from elsewhere, and
// for itself again after a while.
// Trust    what comes from mail or from other servers is text: escaped() stands between it and every page.
#pragma once

#include "admin/rates.hpp"
#include "admin/system.hpp"
#include "http/message.hpp"
#include "process/control.pb.h"

#include <string>
#include <string_view>

namespace posthorn::admin {

using http::Answer;

/// As text, and as the value of an attribute in double quotes: valid UTF-8 without control characters.
std::string html_text(std::string_view text);

/// The Content-Security-Policy of every page.
std::string_view page_policy();

/// The queue by age, destination, reason and site, throughput, servers with quirks, messages behind the cursor `after`.
Answer overview_page(System& system, const process::InstanceCounters& counters, const Rates& rates, const std::string& after);
/// Of a queue id, an address, a domain or a site: what `posthorn why` says.
Answer why_page(System& system, const std::string& word);

}  // namespace posthorn::admin
