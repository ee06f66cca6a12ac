# What `cmake --install` puts where: programs, manual pages, and completions that the program itself prints.
include(GNUInstallDirs)

install(TARGETS redoubt RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS redoubt-api redoubt-scheduler redoubt-agent redoubt-enclave redoubt-kms RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
if(REDOUBT_JSC)
  install(TARGETS redoubt-jsc RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(TARGETS redoubt-enclave-jsc RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
endif()
foreach(section 1 5 8)
  file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/man/*.${section})
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

install(FILES ${CMAKE_SOURCE_DIR}/examples/redoubt.d.ts DESTINATION ${CMAKE_INSTALL_DATADIR}/redoubt) # types for editors

# install(completion of a shell, where that shell looks)
function(redoubt_completion shell path)
  install(CODE "
    get_filename_component(file \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/${path}\" ABSOLUTE)
    get_filename_component(folder \"\${file}\" DIRECTORY)
    file(MAKE_DIRECTORY \"\${folder}\")
    execute_process(COMMAND \"$<TARGET_FILE:redoubt>\" completion ${shell} OUTPUT_FILE \"\${file}\" COMMAND_ERROR_IS_FATAL ANY)
    message(STATUS \"Installing: \${file}\")")
endfunction()
redoubt_completion(bash bash-completion/completions/redoubt)
redoubt_completion(zsh zsh/site-functions/_redoubt)
redoubt_completion(fish fish/vendor_completions.d/redoubt.fish)
