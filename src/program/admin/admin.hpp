// admin/admin.hpp: the service `admin` of master.cf.                                                                       docs/admin.md
#pragma once

namespace posthorn::process {
class Service;
}  // namespace posthorn::process

namespace posthorn::admin {

int serve_admin(process::Service& service);

}  // namespace posthorn::admin
