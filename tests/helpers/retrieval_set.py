"""A retrieval set in five languages: items of a storage, and questions with the item that answers each.

Paraphrases share no word with their item that could find it. Off-topic questions have no answer.
"""

ITEMS = {
    # English
    "refund": "Refunds are paid back to the original card within five working days",
    "hours": "The shop is open Monday to Saturday from 9 am to 8 pm",
    "battery": "The phone lasts two days on a single charge",
    "password": "Reset your password through the link on the sign-in page",
    "gift": "We wrap presents in paper of your choice for two euros",
    "stairs": "The museum has a lift and ramps for wheelchairs",
    # German
    "hund": "Haustiere sind im Hotel gegen Aufpreis erlaubt",
    "parken": "Kostenlose Stellplätze für Autos gibt es hinter dem Gebäude",
    "brot": "Unser Sauerteigbrot enthält nur Roggen, Wasser und Salz",
    "zug": "Der Zug nach München fährt jede Stunde vom Gleis 7 ab",
    "arzt": "Die Praxis ist am Mittwochnachmittag geschlossen",
    "regen": "Bei schlechtem Wetter findet das Konzert in der Halle statt",
    # French
    "livraison": "La livraison à domicile prend trois jours ouvrables",
    "vin": "Ce vin rouge accompagne bien les viandes grillées",
    "bail": "Le loyer comprend le chauffage et l'eau chaude",
    "emploi": "Envoyez votre CV et une lettre de motivation au service du personnel",
    "enfants": "L'entrée est gratuite pour les moins de douze ans",
    "vélo": "Nous louons des bicyclettes à la journée",
    # Spanish
    "alergia": "Este plato contiene frutos secos y leche",
    "vuelo": "El equipaje de mano no puede pesar más de ocho kilos",
    "seguro": "La póliza cubre los daños causados por el agua",
    "piscina": "La piscina abre de junio a septiembre",
    "curso": "Las clases de idiomas empiezan en octubre y cuestan 90 euros al mes",
    "factura": "Puede descargar sus facturas desde su área de cliente",
    # Italian
    "garanzia": "La garanzia della lavatrice dura due anni",
    "colazione": "La colazione viene servita dalle sette alle dieci",
    "farmaco": "Prendere una compressa dopo i pasti, due volte al giorno",
    "biglietto": "I biglietti del teatro si comprano anche in linea",
    "taglia": "Le scarpe sono disponibili dal numero 36 al 44",
    "spiaggia": "Gli ombrelloni e i lettini sono inclusi nel prezzo",
}

WORDS = {
    "When is the shop open on Saturday?": "hours",
    "Reset my password": "password",
    "Fährt ein Zug nach München?": "zug",
    "Was enthält das Sauerteigbrot?": "brot",
    "Le chauffage est-il compris dans le loyer ?": "bail",
    "Louez-vous des bicyclettes ?": "vélo",
    "¿Cuándo abre la piscina?": "piscina",
    "¿Cuánto puede pesar el equipaje de mano?": "vuelo",
    "Quanto dura la garanzia?": "garanzia",
    "Dove si comprano i biglietti del teatro?": "biglietto",
}
"""Questions that share words with their item."""

PARAPHRASES = {
    "How do I get my money back?": "refund",
    "I would like my cash returned": "refund",
    "How long can I use the mobile before plugging it in?": "battery",
    "I cannot log in any more, I forgot my credentials": "password",
    "Can you pack it nicely, it is for a birthday?": "gift",
    "Is the building accessible for disabled visitors?": "stairs",
    "Darf ich meinen Hund mitbringen?": "hund",
    "Wo kann ich meinen Wagen abstellen?": "parken",
    "Welche Zutaten sind in dem Laib?": "brot",
    "Wann geht die nächste Bahn nach Bayern?": "zug",
    "Wann hat der Doktor frei?": "arzt",
    "Was passiert, wenn es regnet?": "regen",
    "Quand vais-je recevoir mon colis ?": "livraison",
    "Que boire avec un steak ?": "vin",
    "Les charges sont-elles incluses dans l'appartement ?": "bail",
    "Comment postuler chez vous ?": "emploi",
    "Est-ce que mon fils de huit ans doit payer ?": "enfants",
    "Où trouver deux vélos pour demain ?": "vélo",
    "Soy alérgico a las nueces, ¿puedo comerlo?": "alergia",
    "¿Qué tamaño de maleta puedo llevar en el avión?": "vuelo",
    "Se rompió una tubería, ¿quién paga?": "seguro",
    "¿Se puede nadar en agosto?": "piscina",
    "Quiero aprender inglés, ¿qué precio tiene?": "curso",
    "¿Dónde están mis recibos?": "factura",
    "Il mio elettrodomestico si è rotto dopo un anno": "garanzia",
    "A che ora si mangia la mattina?": "colazione",
    "Come devo assumere la medicina?": "farmaco",
    "Come prenoto un posto per lo spettacolo?": "biglietto",
    "Avete stivali misura 40?": "taglia",
    "Devo pagare extra per la sdraio al mare?": "spiaggia",
}
"""Questions in the language of their item, in other words."""

TRANSLATED = {
    "Wie bekomme ich mein Geld zurück?": "refund",
    "¿A qué hora cierra la tienda?": "hours",
    "J'ai oublié mon mot de passe": "password",
    "Are pets allowed in the hotel?": "hund",
    "Dove posso parcheggiare la macchina?": "parken",
    "How long does home delivery take?": "livraison",
    "Wo kann ich Fahrräder mieten?": "vélo",
    "Enthält dieses Gericht Nüsse?": "alergia",
    "Is there a guarantee on the washing machine?": "garanzia",
    "À quelle heure est servi le petit-déjeuner ?": "colazione",
}
"""Questions in another language than their item."""

OFF_TOPIC = [
    "What is the capital of Mongolia?",
    "Write a poem about dragons",
    "Wie viele Monde hat der Jupiter?",
    "Erkläre mir die Relativitätstheorie",
    "Qui a gagné la Coupe du monde en 1998 ?",
    "Comment fonctionne un moteur à réaction ?",
    "¿Cuál es la raíz cuadrada de dos?",
    "¿Quién pintó Las Meninas?",
    "Chi ha scritto la Divina Commedia?",
    "Qual è la velocità della luce?",
]
