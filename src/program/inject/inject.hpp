// inject/inject.hpp: the service `inject` of master.cf.                                                                    docs/inject.md
#pragma once

namespace posthorn::process {
class Service;
}  // namespace posthorn::process

namespace posthorn::inject {

int serve_inject(process::Service& service);

}  // namespace posthorn::inject
