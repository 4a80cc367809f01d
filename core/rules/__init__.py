"""Pure knowledge: tables and rules of the field. No I/O, no clock, no database."""
