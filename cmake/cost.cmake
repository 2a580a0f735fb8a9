# posthorn_cost(TEST): ctest begins with the tests that take longest, so that no core idles at the end. Roughly seconds, beside others on two cores that are
# shared: of compat_* in the release build, of the rest in the asan build. Where ctest has run before, it goes by what it measured itself.
set(POSTHORN_LONG_TESTS
    spool.fault 500  spool.crash 500  send.shelf 400  send 400  journey.real_peers 400  spool.salvage 200  journey.reload 185  compat_tools 180
    journey.admin 170  journey.verification 170  journey.tls 140  journey.authentication 130  spool 120  journey.peers 100  compat_postmap 85
    journey.migrate 84  journey.generations 84  compat_sites 68  compat_postconf 65  journey.kill 63  compat_proxy_filter 58  compat_authentication 48)

function(posthorn_cost TEST)
  list(FIND POSTHORN_LONG_TESTS ${TEST} at)
  if(NOT at EQUAL -1)
    math(EXPR at "${at} + 1")
    list(GET POSTHORN_LONG_TESTS ${at} seconds)
    set_tests_properties(${TEST} PROPERTIES COST ${seconds})
    set_property(GLOBAL APPEND PROPERTY POSTHORN_LONG_TESTS ${TEST})
  endif()
endfunction()

# Behind all tests: each name above is one of them.
function(posthorn_costs_given)
  get_property(given GLOBAL PROPERTY POSTHORN_LONG_TESTS)
  foreach(word ${POSTHORN_LONG_TESTS})
    if(NOT word MATCHES "^[0-9]+$" AND NOT word IN_LIST given)
      message(SEND_ERROR "cmake/cost.cmake names ${word}: no such test asks for its cost")
    endif()
  endforeach()
endfunction()
