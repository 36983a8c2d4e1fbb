/* What User-Mode Linux's files share. */
#ifndef HULL_VM_UML_H
#define HULL_VM_UML_H

struct vm_nic;

/* "vec0:transport=fd,...": the NIC as an option of the command line and of the management console.
 * malloc'd or NULL. */
char *uml_nic_option(const struct vm_nic *nic);

#endif
