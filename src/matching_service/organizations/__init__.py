"""Organizations: enterprises with demands, and institutions that suppliers belong to."""
